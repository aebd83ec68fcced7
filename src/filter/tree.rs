use std::cmp::Ordering;

use super::field::Field;
use super::field::Source;
use super::kind::Kind;
use super::kind::Literal;
use super::subject::Subject;
use super::subject::Value;

/// A filter, ready to be asked.
#[derive(Clone, Debug)]
pub(super) enum Node {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Test(Test),
}

/// One question about one field.
#[derive(Clone, Debug)]
pub(super) struct Test {
    pub(super) field: Field,
    /// Only these bits of its numbers count.
    pub(super) mask: Option<i128>,
    pub(super) op: Op,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    /// It is there; a flag is true, one of the masked bits is set.
    Present,
    /// Some value is this.
    Equals(Literal),
    /// It is there, and no value is this.
    Differs(Literal),
    Ordered(Order, Literal),
    /// Some value is in one of the ranges.
    In(Vec<Range>),
    /// It is there, and no value is in one of the ranges.
    NotIn(Vec<Range>),
    Contains(String),
    Matches(regex_lite::Regex),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// From one value to another, both included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Range {
    pub(super) from: Literal,
    pub(super) to: Literal,
}

impl Node {
    pub(super) fn all(nodes: Vec<Self>) -> Self {
        Self::alone(nodes).unwrap_or_else(Self::All)
    }

    pub(super) fn any(nodes: Vec<Self>) -> Self {
        Self::alone(nodes).unwrap_or_else(Self::Any)
    }

    fn alone(mut nodes: Vec<Self>) -> Result<Self, Vec<Self>> {
        match nodes.pop() {
            Some(node) if nodes.is_empty() => Ok(node),
            last => {
                nodes.extend(last);
                Err(nodes)
            }
        }
    }

    pub(super) fn matches(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.matches(subject)),
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(subject)),
            Self::Not(node) => !node.matches(subject),
            Self::Test(test) => test.matches(subject),
        }
    }

    /// Whether it matches a mutation and all that are alike to it, or none of them; `None` where that depends on more.
    pub(super) fn matches_alike(&self, subject: &Subject<'_>) -> Option<bool> {
        // One that is `settled` decides; else all must be the other way round.
        let decided = |nodes: &[Self], settled: bool| {
            let mut all = Some(!settled);
            for node in nodes {
                match node.matches_alike(subject) {
                    Some(found) if found == settled => return Some(settled),
                    Some(_) => {}
                    None => all = None,
                }
            }
            all
        };
        match self {
            Self::All(nodes) => decided(nodes, false),
            Self::Any(nodes) => decided(nodes, true),
            Self::Not(node) => node.matches_alike(subject).map(|found| !found),
            Self::Test(test) => (!test.field.varies_among_alike()).then(|| test.matches(subject)),
        }
    }

    pub(super) fn fields(&self, found: &mut dyn FnMut(Field)) {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().for_each(|node| node.fields(found)),
            Self::Not(node) => node.fields(found),
            Self::Test(test) => found(test.field),
        }
    }
}

impl Test {
    fn matches(&self, subject: &Subject<'_>) -> bool {
        let negative = matches!(self.op, Op::Differs(_) | Op::NotIn(_));
        if let Source::Head(head) = self.field.0 {
            return subject.head(head).is_some_and(|value| self.holds(value) != negative);
        }
        let (mut there, mut holds) = (false, false);
        subject.each(self.field, &mut |value| {
            there = true;
            holds = holds || self.holds(value);
        });
        there && holds != negative
    }

    /// Whether the positive form of the question holds for one value.
    fn holds(&self, value: Value<'_>) -> bool {
        let value = match (value, self.mask) {
            (Value::Number(number), Some(mask)) => Value::Number(number & mask),
            (value, _) => value,
        };
        match &self.op {
            Op::Present => self.mask.is_none() && self.field.kind() != Kind::Flag || value != Value::Number(0),
            Op::Equals(literal) | Op::Differs(literal) => order(value, literal) == Some(Ordering::Equal),
            Op::Ordered(wanted, literal) => order(value, literal).is_some_and(|found| match wanted {
                Order::Above => found.is_gt(),
                Order::AtLeast => found.is_ge(),
                Order::Below => found.is_lt(),
                Order::AtMost => found.is_le(),
            }),
            Op::In(ranges) | Op::NotIn(ranges) => ranges.iter().any(|range| {
                order(value, &range.from).is_some_and(Ordering::is_ge)
                    && order(value, &range.to).is_some_and(Ordering::is_le)
            }),
            Op::Contains(part) => matches!(value, Value::Text(text) if text.contains(part.as_str())),
            Op::Matches(regex) => matches!(value, Value::Text(text) if regex.is_match(text)),
        }
    }
}

/// How a value stands to what it is compared with; a number and a text do not.
fn order(value: Value<'_>, literal: &Literal) -> Option<Ordering> {
    match (value, literal) {
        (Value::Number(value), Literal::Number(literal)) => Some(value.cmp(literal)),
        (Value::Text(value), Literal::Text(literal)) => Some(value.cmp(literal.as_str())),
        (Value::Number(_), Literal::Text(_)) | (Value::Text(_), Literal::Number(_)) => None,
    }
}

/// How two literals of one kind stand to each other.
pub(super) fn compare(one: &Literal, other: &Literal) -> Ordering {
    let value = match one {
        Literal::Number(number) => Value::Number(*number),
        Literal::Text(text) => Value::Text(text),
    };
    order(value, other).unwrap_or(Ordering::Equal)
}
