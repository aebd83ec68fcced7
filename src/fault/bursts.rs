use std::collections::BTreeMap;
use std::time::Duration;

use super::PROOF_AFTER;
use super::Proof;
use super::Toolbox;
use super::body::Body;
use crate::Timestamp;
use crate::engine::Action;
use crate::engine::Actions;
use crate::journal::Side;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// Orphaned responses on their way to the producer: one burst for each (message, status), each followed by its proof of
/// life before the next, so that a disconnect can be put down to one of them (design.md §6, "One burst, one blame").
///
/// Responses of one kind to one stream are alike to the byte, so only their numbers are kept.
#[derive(Debug)]
pub struct Bursts {
    producer: Side,
    waiting: BTreeMap<(Opcode, Status, Body), BTreeMap<Opaque, u64>>,
    proof: Proof,
    last_told: Option<Timestamp>,
    /// When the first response of all came in.
    first_at: Option<Timestamp>,
}

/// How long responses are gathered before the first burst, so that it is not the first message to come that decides
/// which of them a producer that cannot bear them is told.
const GATHER: Duration = Duration::from_millis(50);

impl Bursts {
    /// Responses in one burst at the most; what is beyond makes a burst of its own.
    const MOST: u64 = 4096;

    /// Bursts to the producer at `producer`.
    pub const fn new(producer: Side) -> Self {
        Self { producer, waiting: BTreeMap::new(), proof: Proof::Idle, last_told: None, first_at: None }
    }

    /// Adds the response to one message of the stream with that opaque.
    pub fn add(&mut self, message: Opcode, status: Status, stream: Opaque, now: Timestamp) {
        self.add_with(message, status, Body::None, stream, now);
    }

    /// The same with a body.
    pub(super) fn add_with(&mut self, message: Opcode, status: Status, body: Body, stream: Opaque, now: Timestamp) {
        self.first_at.get_or_insert(now);
        let count = self.waiting.entry((message, status, body)).or_default().entry(stream).or_default();
        *count = count.saturating_add(1);
    }

    /// Sends the next burst, or asks for the proof of the last, when it is time.
    pub fn step(&mut self, tools: &mut Toolbox, now: Timestamp, actions: &mut Actions) {
        self.proof.step(self.producer, tools, now, actions);
        if self.proof == Proof::Idle
            && self.gathered_at().is_none_or(|at| at <= now)
            && let Some(kind) = self.waiting.first_key_value().map(|(kind, _)| kind.clone())
        {
            self.send(&kind, actions);
            self.last_told = Some(now);
            self.proof.want(now, PROOF_AFTER);
        }
    }

    /// Takes in an answer to a request of the tool's.
    pub fn answered(&mut self, opcode: Opcode, opaque: Opaque) {
        self.proof.given(opcode, opaque);
    }

    /// When [`Self::step`] has something to do.
    pub fn wakeup(&self) -> Option<Timestamp> {
        let gathered = self.gathered_at().filter(|_| self.last_told.is_none());
        [self.proof.wakeup(), gathered].into_iter().flatten().min()
    }

    fn gathered_at(&self) -> Option<Timestamp> {
        self.first_at.map(|at| at + GATHER)
    }

    /// Whether every response was sent, and its proof given.
    pub fn is_idle(&self) -> bool {
        self.proof == Proof::Idle && self.waiting.is_empty()
    }

    /// Since when a proof of life is awaited.
    pub const fn awaited_since(&self) -> Option<Timestamp> {
        self.proof.asked_at()
    }

    /// When the last burst was sent.
    pub const fn last_told(&self) -> Option<Timestamp> {
        self.last_told
    }

    fn send(&mut self, kind: &(Opcode, Status, Body), actions: &mut Actions) {
        let (message, status, body) = kind;
        let Some(streams) = self.waiting.get_mut(kind) else { return };
        let mut left = Self::MOST;
        let mut bytes = Vec::new();
        for (&stream, count) in streams.iter_mut() {
            let now = (*count).min(left);
            *count -= now;
            left -= now;
            let frame = FrameBuilder::response(*message, *status).opaque(stream).value(body.bytes()).build();
            for _ in 0..now {
                bytes.push(frame.clone());
            }
        }
        streams.retain(|_, count| *count > 0);
        if streams.is_empty() {
            self.waiting.remove(kind);
        }
        actions.extend(bytes.into_iter().map(|frame| Action::Inject { to: self.producer, frame }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::era::Era;
    use crate::wire::Header;

    const MS: u64 = 1_000_000;

    struct Bench {
        bursts: Bursts,
        tools: Toolbox,
    }

    impl Bench {
        fn new() -> Self {
            let tools = Toolbox::new(Era::V7_0, Duration::from_secs(2), false);
            Self { bursts: Bursts::new(Side::Upstream), tools }
        }

        fn add(&mut self, message: Opcode, status: Status, stream: u8, count: u64) {
            for _ in 0..count {
                self.bursts.add(message, status, Opaque([stream; 4]), Timestamp(0));
            }
        }

        /// What is sent at `ms`: each header once, and how often it is repeated.
        fn at(&mut self, ms: u64) -> Vec<(Opcode, Option<Status>, Opaque, usize)> {
            let mut actions = Actions::new();
            self.bursts.step(&mut self.tools, Timestamp(ms * MS), &mut actions);
            let mut all: Vec<(Opcode, Option<Status>, Opaque, usize)> = Vec::new();
            for action in actions {
                let Action::Inject { to: Side::Upstream, frame } = action else { panic!("an injected frame") };
                let header = Header::parse_slice(&frame).unwrap();
                match all.last_mut() {
                    Some(last) if (last.0, last.1, last.2) == (header.opcode, header.status(), header.opaque) => {
                        last.3 += 1
                    }
                    _ => all.push((header.opcode, header.status(), header.opaque, 1)),
                }
            }
            all
        }
    }

    const M: Opcode = Opcode::DCP_MUTATION;
    const C: Opcode = Opcode::DCP_COMMIT;
    const S1: Status = Status::KEY_ENOENT;
    const S2: Status = Status::KEY_EEXISTS;

    #[test]
    fn each_kind_is_a_burst_and_each_burst_has_its_proof() {
        let mut bench = Bench::new();
        bench.add(C, S2, 1, 2);
        bench.add(M, S1, 2, 3);
        bench.add(M, S1, 1, 1);
        assert_eq!(bench.bursts.wakeup(), Some(Timestamp(50 * MS)));
        assert_eq!(bench.at(49), []);
        assert_eq!(bench.at(50), [(M, Some(S1), Opaque([1; 4]), 1), (M, Some(S1), Opaque([2; 4]), 3)]);
        assert_eq!(bench.bursts.last_told(), Some(Timestamp(50 * MS)));
        assert_eq!(bench.at(199), []);
        let noop = Opaque([0xdc, 0x0d, 0, 1]);
        assert_eq!(bench.at(200), [(Opcode::NOOP, None, noop, 1)]);
        assert_eq!(bench.bursts.awaited_since(), Some(Timestamp(200 * MS)));
        assert_eq!(bench.at(9000), [], "nothing before the proof");
        bench.bursts.answered(Opcode::NOOP, noop);
        assert_eq!(bench.at(9001), [(C, Some(S2), Opaque([1; 4]), 2)], "what comes later is not gathered again");
        assert!(!bench.bursts.is_idle());
        assert_eq!(bench.at(9151).len(), 1);
        bench.bursts.answered(Opcode::NOOP, Opaque([0xdc, 0x0d, 0, 2]));
        assert!(bench.bursts.is_idle() && bench.at(9152).is_empty() && bench.bursts.wakeup().is_none());
    }

    #[test]
    fn a_burst_is_not_endless() {
        let mut bench = Bench::new();
        bench.add(M, S1, 1, 5000);
        assert_eq!(bench.at(50), [(M, Some(S1), Opaque([1; 4]), 4096)]);
        bench.at(200);
        bench.bursts.answered(Opcode::NOOP, Opaque([0xdc, 0x0d, 0, 1]));
        assert_eq!(bench.at(201), [(M, Some(S1), Opaque([1; 4]), 904)]);
    }
}
