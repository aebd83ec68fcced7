use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::node::consumer::Item;
use crate::node::consumer::Ledger;
use crate::verdict::About;
use crate::verdict::Finding;
use crate::wire::Opcode;

/// The seqnos that are compared: of each vbucket those behind the first number, up to the second.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Range {
    bounds: BTreeMap<u16, (u64, u64)>,
}

/// Seqnos that are compared, over all vbuckets, and of one: half of what a ledger remembers.
const MAX_SEQNOS: u64 = 65_536;
const MAX_OF_VBUCKET: u64 = 32_768;
/// What the last reference has of a vbucket at most: nearly all that a ledger remembers.
const REMEMBERED: u64 = 60_000;
/// Items of a vbucket that came to a case behind the range, and are kept until the last reference.
const MAX_LATER: usize = 4_096;

impl Range {
    /// The last seqnos of these vbuckets, by their highest: so many that all together are 65,536 at most, and 32,768 of each.
    pub fn up_to(highs: &BTreeMap<u16, u64>) -> Self {
        let each = (MAX_SEQNOS / (highs.len() as u64).max(1)).min(MAX_OF_VBUCKET);
        Self { bounds: highs.iter().map(|(&vbucket, &high)| (vbucket, (high.saturating_sub(each), high))).collect() }
    }

    /// The same, up to what there is by now, as far as a ledger remembers. `high` is `None` for a vbucket that is not there any more:
    /// that is left out.
    #[must_use]
    pub fn extended_to(&self, high: impl Fn(u16) -> Option<u64>) -> Self {
        let later = |(&vbucket, &(start, end)): (&u16, &(u64, u64))| {
            let end = high(vbucket)?.max(end);
            Some((vbucket, (start.max(end.saturating_sub(REMEMBERED)), end)))
        };
        Self { bounds: self.bounds.iter().filter_map(later).collect() }
    }

    /// What of a ledger is behind the range: the first of it, in each vbucket.
    pub(super) fn behind(&self, ledger: &Ledger) -> Later {
        let mut later = Later::default();
        for (&vbucket, &(_, end)) in &self.bounds {
            let reached = reached(ledger, vbucket);
            let items = ledger.vbucket(vbucket).and_then(|it| it.items_of(end.saturating_add(1), reached));
            let Some(items) = items else { continue };
            let items: Vec<Item> = items.copied().take(MAX_LATER).collect();
            let last = if items.len() < MAX_LATER { reached } else { items.last().map_or(end, |item| item.seqno) };
            later.vbuckets.insert(vbucket, (end, last));
            later.items.extend(items.into_iter().map(|item| ((vbucket, item.seqno), item)));
        }
        later
    }

    /// The same, from these seqnos on at the earliest.
    #[must_use]
    pub fn not_before(mut self, starts: &BTreeMap<u16, u64>) -> Self {
        for (vbucket, (start, end)) in &mut self.bounds {
            *start = starts.get(vbucket).copied().unwrap_or_default().clamp(*start, *end);
        }
        self
    }

    /// Whether vbuckets have earlier seqnos that are not compared.
    pub fn is_capped(&self) -> bool {
        self.bounds.values().any(|&(start, _)| start > 0)
    }

    /// The vbuckets.
    pub fn vbuckets(&self) -> impl Iterator<Item = u16> {
        self.bounds.keys().copied()
    }

    /// A ledger that goes on from the start of the range.
    pub(crate) fn start(&self) -> Ledger {
        Ledger::behind(self.bounds.iter().map(|(&vbucket, &(start, _))| (vbucket, start)))
    }

    /// Whether the whole range has come.
    pub(super) fn is_in(&self, ledger: &Ledger) -> bool {
        self.bounds.iter().all(|(&vbucket, &(_, end))| reached(ledger, vbucket) >= end)
    }

    /// How far it has come, over all its vbuckets; what comes behind it counts for nothing.
    pub(super) fn come(&self, ledger: &Ledger) -> u64 {
        self.bounds.iter().map(|(&vbucket, &(_, end))| reached(ledger, vbucket).min(end)).fold(0, u64::saturating_add)
    }
}

fn reached(ledger: &Ledger, vbucket: u16) -> u64 {
    ledger.vbucket(vbucket).map_or(0, crate::node::consumer::VbucketLedger::last_seqno)
}

/// What came to a case behind the range, as the bucket was written to meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Later {
    /// From where, and up to where.
    vbuckets: BTreeMap<u16, (u64, u64)>,
    items: BTreeMap<(u16, u64), Item>,
}

impl Later {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// What an untouched connection brought of the range.
#[derive(Clone, Debug)]
pub struct Reference {
    range: Range,
    items: BTreeMap<(u16, u64), Item>,
    /// Items that no later one of their key supersedes: they are in every stream of the range.
    lasting: BTreeSet<(u16, u64)>,
}

/// How a stream differs from the reference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Difference {
    /// An item did not come.
    Missing {
        /// In which vbucket.
        vbucket: u16,
        /// Its seqno.
        seqno: u64,
    },
    /// An item came with other content.
    Changed {
        /// In which vbucket.
        vbucket: u16,
        /// Its seqno.
        seqno: u64,
    },
    /// The stream stopped before the end of the range, on a connection that stayed.
    Stopped {
        /// Which vbucket's.
        vbucket: u16,
        /// Where.
        seqno: u64,
    },
}

impl Reference {
    /// What a ledger has of the range; `None` where it has not all of it.
    pub fn of(ledger: &Ledger, range: &Range) -> Option<Self> {
        if !range.is_in(ledger) {
            return None;
        }
        let mut items = BTreeMap::new();
        let mut lasting = BTreeSet::new();
        for (&vbucket, &(start, end)) in &range.bounds {
            // The last item of each key, with nothing pending, and the last that may be pending.
            let (mut committed, mut any) = (BTreeSet::new(), BTreeSet::new());
            let of_vbucket: Vec<&Item> = ledger.vbucket(vbucket)?.items_of(start.saturating_add(1), end)?.collect();
            for item in of_vbucket.into_iter().rev() {
                let pending = matches!(item.opcode, Opcode::DCP_PREPARE | Opcode::DCP_ABORT);
                let is_last = if pending { !any.contains(&item.key) } else { committed.insert(item.key) };
                any.insert(item.key);
                if is_last {
                    lasting.insert((vbucket, item.seqno));
                }
                items.insert((vbucket, item.seqno), *item);
            }
        }
        Some(Self { range: range.clone(), items, lasting })
    }

    /// How many items it has.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the range has no items.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How a ledger differs, as far as it has come. `stuck`: whether its streams were waited for and brought nothing more.
    /// `None` where the ledger does not remember what it had.
    pub fn differences(&self, ledger: &Ledger, stuck: bool) -> Option<Vec<Difference>> {
        let mut found = Vec::new();
        for (&vbucket, &(start, end)) in &self.range.bounds {
            let first = start.saturating_add(1);
            let last = reached(ledger, vbucket).min(end);
            let theirs: BTreeMap<u64, &Item> = match ledger.vbucket(vbucket) {
                Some(it) => it.items_of(first, last)?.map(|item| (item.seqno, item)).collect(),
                None => BTreeMap::new(),
            };
            for (&(_, seqno), item) in self.items.range((vbucket, first)..=(vbucket, last.max(first))) {
                match theirs.get(&seqno) {
                    _ if seqno > last => {}
                    None if self.lasting.contains(&(vbucket, seqno)) => {
                        found.push(Difference::Missing { vbucket, seqno });
                    }
                    Some(other) if !is_same(item, other) => found.push(Difference::Changed { vbucket, seqno }),
                    None | Some(_) => {}
                }
            }
            if stuck && last < end {
                found.push(Difference::Stopped { vbucket, seqno: last });
            }
        }
        Some(found)
    }

    /// What of this, made last of all, a case did not get behind the range: all of it is no longer written to.
    pub(super) fn missing(&self, later: &Later) -> Vec<Difference> {
        let mut found = Vec::new();
        for (&vbucket, &(from, to)) in &later.vbuckets {
            let first = from.saturating_add(1);
            for (&place, item) in self.items.range((vbucket, first)..=(vbucket, to.max(first))) {
                let seqno = place.1;
                match later.items.get(&place) {
                    _ if seqno > to => {}
                    None if self.lasting.contains(&place) => found.push(Difference::Missing { vbucket, seqno }),
                    Some(other) if !is_same(item, other) => found.push(Difference::Changed { vbucket, seqno }),
                    None | Some(_) => {}
                }
            }
        }
        found
    }

    /// Whether it can tell of a difference: the vbucket was there when it was made.
    fn tells_of(&self, difference: Difference) -> bool {
        self.range.bounds.contains_key(&difference.place().0)
    }

    /// Whether this reference, made later, still has what the earlier one had there: if not, the bucket was written to, and
    /// the difference says nothing.
    fn confirms(&self, earlier: &Self, difference: Difference) -> bool {
        match difference {
            Difference::Missing { vbucket, seqno } | Difference::Changed { vbucket, seqno } => {
                let place = (vbucket, seqno);
                let same = earlier.items.get(&place).zip(self.items.get(&place));
                same.is_some_and(|(one, two)| is_same(one, two)) && self.lasting.contains(&place)
            }
            Difference::Stopped { .. } => self.tells_of(difference),
        }
    }
}

/// Whether two items are one: what was a COMMIT in memory is a mutation or a deletion from disk (dcp-protocol.md §4).
fn is_same(one: &Item, two: &Item) -> bool {
    let committed = |item: &Item| item.opcode == Opcode::DCP_COMMIT;
    one.key == two.key && (one.hash == two.hash || committed(one) != committed(two))
}

/// The id of the finding.
pub const REFERENCE_STREAM: &str = "reference-stream";
const DEMANDS: &str = "a consumer gets every item that an untouched connection gets of the same range, unchanged";
/// So many differences are named.
const NAMED: usize = 3;

/// What a comparison came to. `again` is a second reference, made after all cases, where one could be had.
pub(crate) fn finding(
    reference: &Reference,
    again: Option<&Reference>,
    differences: Option<&[Difference]>,
    later: &Later,
) -> Finding {
    let expected = format!("{} items as on an untouched connection", reference.len());
    let Some(differences) = differences else {
        return Finding::inconclusive(REFERENCE_STREAM, DEMANDS)
            .about(About::Run)
            .expected(expected)
            .actual("so many items came since that those of the range are not remembered");
    };
    let is_lost = |difference: &&Difference| again.is_some_and(|again| again.confirms(reference, **difference));
    let (mut lost, moved): (Vec<&Difference>, Vec<&Difference>) = differences.iter().partition(is_lost);
    let behind = again.map(|again| again.missing(later)).unwrap_or_default();
    lost.extend(&behind);
    if let Some(first) = lost.first() {
        let (vbucket, seqno) = first.place();
        let told = told(&lost);
        return Finding::fail(REFERENCE_STREAM, DEMANDS)
            .about(About::PRODUCER)
            .expected(expected)
            .actual(format!("{told}; a second untouched connection got all of it"))
            .vbucket(vbucket)
            .seqno(seqno);
    }
    let untold: Vec<&Difference> =
        moved.iter().copied().filter(|it| !again.is_some_and(|again| again.tells_of(**it))).collect();
    if !untold.is_empty() {
        return Finding::inconclusive(REFERENCE_STREAM, DEMANDS).about(About::Run).expected(expected).actual(format!(
            "{}, and no second untouched connection to tell whether they still are there",
            told(&untold)
        ));
    }
    let actual = match moved.len() {
        0 => "all of the range that came is the same".to_owned(),
        n => format!("all the same but {n} that were written over meanwhile"),
    };
    Finding::pass(REFERENCE_STREAM, DEMANDS).about(About::PRODUCER).expected(expected).actual(actual)
}

fn told(differences: &[&Difference]) -> String {
    let named: Vec<String> = differences.iter().take(NAMED).map(|difference| difference.told()).collect();
    let more = differences.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{}{more}", named.join(", "))
}

impl Difference {
    const fn place(self) -> (u16, u64) {
        match self {
            Self::Missing { vbucket, seqno } | Self::Changed { vbucket, seqno } | Self::Stopped { vbucket, seqno } => {
                (vbucket, seqno)
            }
        }
    }

    fn told(self) -> String {
        let (vbucket, seqno) = self.place();
        match self {
            Self::Missing { .. } => format!("seqno {seqno} of vbucket {vbucket} did not come"),
            Self::Changed { .. } => format!("seqno {seqno} of vbucket {vbucket} came with other content"),
            Self::Stopped { .. } => format!("the stream of vbucket {vbucket} stopped for good at seqno {seqno}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Verdict;

    const fn item(seqno: u64, opcode: Opcode, key: u64) -> (u16, Item) {
        (3, Item { seqno, hash: seqno * 100 + key, key, opcode })
    }

    const M: Opcode = Opcode::DCP_MUTATION;
    const P: Opcode = Opcode::DCP_PREPARE;
    const C: Opcode = Opcode::DCP_COMMIT;

    /// Key 1 is written over, key 2 is prepared and committed, key 3 stays pending.
    const ITEMS: [(u16, Item); 6] =
        [item(1, M, 1), item(2, M, 9), item(3, P, 2), item(4, M, 1), item(5, C, 2), item(6, P, 3)];

    fn range() -> Range {
        Range::up_to(&BTreeMap::from([(3, 6)]))
    }

    fn reference() -> Reference {
        Reference::of(&Ledger::with(ITEMS), &range()).unwrap()
    }

    fn without(seqnos: &[u64]) -> Ledger {
        Ledger::with(ITEMS.into_iter().filter(|(_, item)| !seqnos.contains(&item.seqno)))
    }

    fn lost(ledger: &Ledger) -> Vec<u64> {
        let differences = reference().differences(ledger, false).unwrap();
        differences.into_iter().map(|difference| difference.place().1).collect()
    }

    #[test]
    fn an_item_that_nothing_supersedes_must_come() {
        assert_eq!(lost(&without(&[])), [0_u64; 0]);
        // From disk neither what was written over nor a completed prepare comes.
        assert_eq!(lost(&without(&[1, 3])), [0_u64; 0]);
        assert_eq!(lost(&without(&[2])), [2]);
        assert_eq!(lost(&without(&[4, 5])), [4, 5]);
        assert_eq!(lost(&without(&[6])), [0_u64; 0], "what had not come by then is not missing");
    }

    #[test]
    fn an_item_must_be_the_same() {
        let changed = |seqno: u64, change: fn(&mut Item)| {
            Ledger::with(ITEMS.into_iter().map(|(vbucket, mut item)| {
                if item.seqno == seqno {
                    change(&mut item);
                }
                (vbucket, item)
            }))
        };
        assert_eq!(lost(&changed(4, |item| item.hash += 1)), [4]);
        assert_eq!(lost(&changed(4, |item| item.key += 1)), [4]);
        // From disk a commit is a mutation.
        assert_eq!(lost(&changed(5, |item| (item.opcode, item.hash) = (M, 7))), [0_u64; 0]);
    }

    #[test]
    fn a_loss_is_one_if_a_second_untouched_connection_still_has_the_item() {
        let first = reference();
        let verdict = |again: Option<&Reference>, ledger: &Ledger, stuck| {
            let differences = first.differences(ledger, stuck);
            finding(&first, again, differences.as_deref(), &Later::default()).verdict
        };
        assert_eq!(verdict(None, &without(&[]), false), Verdict::Pass);
        assert_eq!(verdict(Some(&first), &without(&[2]), false), Verdict::Fail);
        assert_eq!(verdict(None, &without(&[2]), false), Verdict::Inconclusive);
        let written_over = Reference::of(&without(&[2]), &range()).unwrap();
        assert_eq!(verdict(Some(&written_over), &without(&[2]), false), Verdict::Pass);
        assert_eq!(verdict(Some(&first), &without(&[5, 6]), true), Verdict::Fail, "it stopped for good");
        assert_eq!(verdict(Some(&first), &without(&[5, 6]), false), Verdict::Pass, "it was closed before");
    }

    #[test]
    fn of_a_vbucket_that_is_gone_nothing_is_told() {
        let first = reference();
        let gone = Reference::of(&Ledger::default(), &range().extended_to(|_| None)).unwrap();
        for (ledger, stuck) in [(without(&[2]), false), (without(&[5, 6]), true)] {
            let differences = first.differences(&ledger, stuck);
            let finding = finding(&first, Some(&gone), differences.as_deref(), &Later::default());
            assert_eq!(finding.verdict, Verdict::Inconclusive, "{}", finding.actual);
        }
    }

    #[test]
    fn what_is_lost_behind_the_range_is_found_by_the_last_reference() {
        let range = Range::up_to(&BTreeMap::from([(3, 2)]));
        let last = reference();
        let missing = |seqnos: &[u64]| last.missing(&range.behind(&without(seqnos)));
        assert_eq!(missing(&[]), []);
        assert_eq!(missing(&[2, 3]), [], "in the range, and superseded");
        assert_eq!(missing(&[4]), [Difference::Missing { vbucket: 3, seqno: 4 }]);
        assert_eq!(missing(&[5, 6]), [], "what had not come by then");
        assert_eq!(range.extended_to(|_| Some(6)), self::range());
        assert_eq!(range.extended_to(|_| Some(100_000)).bounds, BTreeMap::from([(3, (40_000, 100_000))]));
    }

    #[test]
    fn what_comes_behind_the_range_is_no_progress_in_it() {
        let range = Range::up_to(&BTreeMap::from([(0, 10), (1, 10)]));
        let at = |first: u64, second: u64| Ledger::behind([(0, first), (1, second)]);
        assert_eq!((range.come(&at(4, 10)), range.come(&at(4, 500))), (14, 14));
        assert!(range.come(&at(5, 500)) > 14 && !range.is_in(&at(4, 500)));
    }

    #[test]
    fn the_range_is_bounded() {
        let range = Range::up_to(&BTreeMap::from([(0, 100_000), (1, 10)]));
        assert_eq!(range.bounds, BTreeMap::from([(0, (100_000 - 32_768, 100_000)), (1, (0, 10))]));
        assert!(range.is_capped() && !Range::up_to(&BTreeMap::from([(0, 32_768)])).is_capped());
        let later = range.not_before(&BTreeMap::from([(0, 90_000), (1, 20)]));
        assert_eq!(later.bounds, BTreeMap::from([(0, (90_000, 100_000)), (1, (10, 10))]));
        assert!(Reference::of(&without(&[6]), &self::range()).is_none(), "not all of it has come");
    }
}
