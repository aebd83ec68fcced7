//! The grammar, checked against the fields' kinds as it is read:
//!
//! ```text
//! filter  := and (("||" | "or") and)*
//! and     := unary (("&&" | "and") unary)*
//! unary   := ("!" | "not") unary | "(" filter ")" | test
//! test    := FIELD
//!          | FIELD ["&" value] ("==" | "!=" | ">" | ">=" | "<" | "<=" | eq ne gt ge lt le) value
//!          | FIELD "&" value
//!          | FIELD ["not"] "in" "{" [range ((",")? range)*] "}"
//!          | FIELD "contains" value | FIELD ("matches" | "~") value
//! range   := value [".." value]
//! ```

use super::FilterError;
use super::field::Field;
use super::kind::Kind;
use super::kind::Literal;
use super::kind::Misfit;
use super::lexer::Lexeme;
use super::lexer::Token;
use super::lexer::tokens;
use super::tree::Node;
use super::tree::Op;
use super::tree::Order;
use super::tree::Range;
use super::tree::Test;

/// How long a filter's text may be, bytes.
pub(super) const MAX_LEN: usize = 16 * 1024;
/// How deep parentheses and negations may be nested.
const MAX_DEPTH: usize = 64;
/// How much memory a regular expression may take, bytes.
const MAX_REGEX: usize = 256 * 1024;

pub(super) fn parse(text: &str) -> Result<Node, FilterError> {
    if text.len() > MAX_LEN {
        let found = format!("one of {}", text.len());
        return Err(FilterError::new(0, format!("a filter of at most {MAX_LEN} bytes"), found));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, next: 0, end: text.chars().count(), depth: 0 };
    let node = parser.any()?;
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(parser.unexpected("&&, || or the end of the filter")),
    }
}

struct Parser<'t> {
    tokens: &'t [Token<'t>],
    next: usize,
    end: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn any(&mut self) -> Result<Node, FilterError> {
        let mut nodes = vec![self.all()?];
        while self.take(&["||", "or"]) {
            nodes.push(self.all()?);
        }
        Ok(Node::any(nodes))
    }

    fn all(&mut self) -> Result<Node, FilterError> {
        let mut nodes = vec![self.unary()?];
        while self.take(&["&&", "and"]) {
            nodes.push(self.unary()?);
        }
        Ok(Node::all(nodes))
    }

    fn unary(&mut self) -> Result<Node, FilterError> {
        let nested = self.peek().is_some_and(|token| is(token, &["!", "not", "("]));
        if !nested {
            return self.test();
        }
        if self.depth == MAX_DEPTH {
            return Err(self.unexpected(format!("at most {MAX_DEPTH} nested parentheses and negations")));
        }
        self.depth += 1;
        let node = if self.take(&["("]) {
            let node = self.any()?;
            if !self.take(&[")"]) {
                return Err(self.unexpected("&&, || or )"));
            }
            node
        } else {
            self.next += 1;
            Node::Not(Box::new(self.unary()?))
        };
        self.depth -= 1;
        Ok(node)
    }

    fn test(&mut self) -> Result<Node, FilterError> {
        let Some(token) = self.peek().filter(|token| token.kind == Lexeme::Word) else {
            return Err(self.unexpected("a field, ! or ("));
        };
        let Some(field) = Field::named(token.text) else {
            return Err(self.unexpected("a field").or_tip(Field::suggestion(token.text)));
        };
        self.next += 1;
        let mask_at = self.next;
        let mask = if self.take(&["&"]) {
            if !field.kind().has_bits() {
                self.next = mask_at;
                return Err(self.unexpected(format!("a comparison of the {} {field}", field.kind().name())));
            }
            match self.value(field.kind())? {
                Literal::Number(mask) => Some(mask),
                Literal::Text(_) => None,
            }
        } else {
            None
        };
        let op = self.comparison(field, mask.is_some())?;
        let test = Node::Test(Test { field, mask, op });
        Ok(test)
    }

    /// What is asked of the field. Nothing asks whether it is there, or whether a bit is set.
    fn comparison(&mut self, field: Field, masked: bool) -> Result<Op, FilterError> {
        let kind = field.kind();
        let orders: [(&[&str], Order); 4] = [
            (&[">", "gt"], Order::Above),
            (&[">=", "ge"], Order::AtLeast),
            (&["<", "lt"], Order::Below),
            (&["<=", "le"], Order::AtMost),
        ];
        if self.take(&["==", "eq"]) {
            return Ok(Op::Equals(self.value(kind)?));
        }
        if self.take(&["!=", "ne"]) {
            return Ok(Op::Differs(self.value(kind)?));
        }
        let at = self.next;
        for (words, order) in orders {
            if self.take(words) {
                if !kind.is_ordered() {
                    self.next = at;
                    return Err(self.unexpected(format!("== or !=, as a {} has no order", kind.name())));
                }
                return Ok(Op::Ordered(order, self.value(kind)?));
            }
        }
        if masked {
            return Ok(Op::Present);
        }
        if self.take(&["in"]) {
            return Ok(Op::In(self.set(kind)?));
        }
        let negated = self.peek().is_some_and(|token| is(token, &["not", "!"]))
            && self.tokens.get(self.next + 1).is_some_and(|token| is(token, &["in"]));
        if negated {
            self.next += 2;
            return Ok(Op::NotIn(self.set(kind)?));
        }
        if self.take(&["contains"]) {
            return self.text(at, field).map(Op::Contains);
        }
        if self.take(&["matches", "~"]) {
            return self.regex(at, field);
        }
        match self.peek() {
            Some(token) if token.text == "=" => Err(self.unexpected("==")),
            Some(token) if token.text == "|" => Err(self.unexpected("||")),
            _ => Ok(Op::Present),
        }
    }

    fn set(&mut self, kind: Kind) -> Result<Vec<Range>, FilterError> {
        if !self.take(&["{"]) {
            return Err(self.unexpected("{ and a set of values"));
        }
        let mut ranges = Vec::new();
        while !self.take(&["}"]) {
            if !ranges.is_empty() {
                self.take(&[","]);
            }
            if self.peek().is_none() {
                return Err(self.unexpected("a value or }"));
            }
            let from = self.value(kind)?;
            let at = self.next;
            let to = if self.take(&[".."]) {
                if !kind.is_ordered() {
                    self.next = at;
                    return Err(self.unexpected(format!("a value or }}, as a {} has no order", kind.name())));
                }
                let at = self.next;
                let to = self.value(kind)?;
                if super::tree::compare(&to, &from).is_lt() {
                    self.next = at;
                    return Err(self.unexpected("the end of the range to be no less than its begin"));
                }
                to
            } else {
                from.clone()
            };
            ranges.push(Range { from, to });
        }
        if ranges.is_empty() {
            self.next -= 1;
            return Err(self.unexpected("at least one value in the set"));
        }
        Ok(ranges)
    }

    fn text(&mut self, operator: usize, field: Field) -> Result<String, FilterError> {
        if !field.kind().is_text() {
            self.next = operator;
            return Err(self.unexpected(format!("a comparison of the {} {field}", field.kind().name())));
        }
        match self.value(Kind::Text)? {
            Literal::Text(text) => Ok(text),
            Literal::Number(number) => Ok(number.to_string()),
        }
    }

    /// As Wireshark's, without regard to case.
    fn regex(&mut self, operator: usize, field: Field) -> Result<Op, FilterError> {
        let text = self.text(operator, field)?;
        regex_lite::RegexBuilder::new(&text)
            .case_insensitive(true)
            .size_limit(MAX_REGEX)
            .build()
            .map(Op::Matches)
            .map_err(|error| {
                self.next -= 1;
                let found = self.at(format!("one that is none: {error}"));
                FilterError { expected: "a regular expression".to_owned(), ..found }
            })
    }

    fn value(&mut self, kind: Kind) -> Result<Literal, FilterError> {
        let literal = match self.peek() {
            Some(Token { kind: Lexeme::Word, text, .. }) => kind.word(text),
            Some(Token { kind: Lexeme::Quoted(text), .. }) => kind.quoted(text),
            _ => Err(Misfit { expected: kind.expectation(), tip: None }),
        };
        let literal = literal.map_err(|misfit| self.unexpected(misfit.expected).or_tip(misfit.tip))?;
        self.next += 1;
        Ok(literal)
    }

    fn peek(&self) -> Option<&'t Token<'t>> {
        self.tokens.get(self.next)
    }

    fn take(&mut self, words: &[&str]) -> bool {
        let taken = self.peek().is_some_and(|token| is(token, words));
        self.next += usize::from(taken);
        taken
    }

    /// What comes next is not what was expected.
    fn unexpected(&self, expected: impl Into<String>) -> FilterError {
        let found = match self.peek() {
            None => "the end of the filter".to_owned(),
            Some(Token { kind: Lexeme::Quoted(_), text, .. }) => shortened(text),
            Some(token) => format!("'{}'", shortened(token.text)),
        };
        FilterError { expected: expected.into(), ..self.at(found) }
    }

    fn at(&self, found: String) -> FilterError {
        FilterError::new(self.peek().map_or(self.end, |token| token.at), String::new(), found)
    }
}

/// Whether a token is one of these operators. Words of quoted text are none.
fn is(token: &Token<'_>, words: &[&str]) -> bool {
    !matches!(token.kind, Lexeme::Quoted(_)) && words.contains(&token.text)
}

/// What was found, as far as an error needs it.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((cut, _)) => format!("{}...", text.get(..cut).unwrap_or_default()),
        None => text.to_owned(),
    }
}
