mod requests;
mod steps;

use std::num::NonZeroU64;

use fastrand::Rng;

use super::Ground;
use super::law;
use crate::era::Era;
use crate::fault::FaultSpec;
use crate::probe::PROBED;
use crate::scenario::ConsumerSettings;
use crate::scenario::Scenario;
use crate::scenario::Step;
use crate::wire::Opcode;

/// The schedule of that number: 1 to [`law::MAX_STEPS`] steps, and what the consumer asks for. The same seed, number and
/// ground give the same schedule (law L8).
pub fn schedule(seed: u64, number: u64, ground: &Ground) -> Scenario {
    let mut dice = Rng::with_seed(Rng::with_seed(seed).u64(..).wrapping_add(number));
    let consumer = takeover(&mut dice, ground).unwrap_or_else(|| consumer(&mut dice, ground));
    // Streams that end leave little time.
    let most = if consumer.end_seqno.is_some() || consumer.takes_over() { 2 } else { law::MAX_STEPS };
    let wanted = match dice.u8(..4) {
        0 => 1,
        1 => 2,
        _ => dice.usize(1..=most),
    };
    let mut drawn = Draw { dice, ground, consumer, wanted, steps: Vec::new(), is_over: false };
    while drawn.steps.len() < wanted && !drawn.is_over {
        let (step, is_over) = steps::draw(&mut drawn);
        drawn.steps.push(step);
        drawn.is_over = is_over;
        if is_over {
            // What is to come after the steps before cannot be told from what the last one brings about.
            drawn.steps.iter_mut().for_each(|step| step.expect.clear());
        }
    }
    Scenario {
        name: format!("fuzz-{seed}-{number}"),
        about: format!("Schedule {number} of seed {seed}, era {}.", ground.era),
        seed: Some(drawn.dice.u64(..1_000_000)),
        era: Some(ground.era),
        eras: Vec::new(),
        destructive: drawn.consumer.takes_over(),
        judge: None,
        messages: answered(&drawn.steps),
        settle: None,
        covers: Vec::new(),
        quirks: Vec::new(),
        consumer: drawn.consumer,
        steps: drawn.steps,
    }
}

/// A schedule that is being drawn.
struct Draw<'a> {
    dice: Rng,
    ground: &'a Ground,
    consumer: ConsumerSettings,
    /// How many steps there are to be.
    wanted: usize,
    steps: Vec<Step>,
    /// Whether the producer is to close the connection at the last step.
    is_over: bool,
}

impl Draw<'_> {
    /// True once in so many throws.
    fn once_in(&mut self, throws: u32) -> bool {
        self.dice.u32(..throws) == 0
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        self.dice.choice(all).copied()
    }

    fn is_v7(&self) -> bool {
        law::is_v7(&self.consumer, self.ground.era)
    }

    /// Of so many messages that may be waited for, one by chance, from the first on: fewer where streams end.
    fn nth(&mut self, first: u64, most: u64) -> Option<NonZeroU64> {
        let is_short = self.consumer.end_seqno.is_some() || self.takes_over();
        let most = if is_short { most.min(3) } else { most };
        NonZeroU64::new(self.dice.u64(first..=most.max(first))).filter(|nth| nth.get() > 1)
    }

    /// Whether the vbucket is taken over.
    fn takes_over(&self) -> bool {
        self.consumer.takes_over()
    }

    /// Whether streams have nothing to bring but their end.
    fn only_ends(&self) -> bool {
        self.consumer.end_seqno == Some(0)
    }

    /// One of the streamed vbuckets; `None` in a takeover, which has one alone.
    fn vbucket(&mut self) -> Option<u16> {
        if self.takes_over() { None } else { self.dice.choice(&self.ground.vbuckets).copied() }
    }

    /// The messages that can come with the consumer's settings.
    fn coming(&self) -> Vec<Opcode> {
        let (settings, era) = (&self.consumer, self.ground.era);
        PROBED.into_iter().filter(|&message| law::comes(message, settings, era)).collect()
    }
}

/// What the consumer asks for: mostly everything.
fn consumer(dice: &mut Rng, ground: &Ground) -> ConsumerSettings {
    let mut settings = ConsumerSettings::default();
    if dice.u8(..5) < 2 {
        return settings;
    }
    let era = ground.era;
    let mut sometimes = |value: bool, throws: u32| (dice.u32(..throws) == 0).then_some(value);
    settings.v7 = sometimes(false, 4).filter(|_| era >= Era::V7_0);
    settings.sync_writes = sometimes(false, 5);
    settings.consumer_name = sometimes(false, 6);
    settings.collections = sometimes(false, 8);
    settings.expirations = sometimes(false, 8);
    settings.stream_end_on_close = sometimes(false, 6);
    settings.snappy = sometimes(true, 6);
    settings.flatbuffers = sometimes(true, 8).filter(|_| era >= Era::V7_0);
    settings.stream_ids = sometimes(true, 5).filter(|_| era >= Era::V6_5);
    let ends = sometimes(true, 3).is_some();
    let most = ground.reach.min(law::MOST_END);
    let least = if dice.bool() { 1 } else { most / 2 };
    settings.end_seqno = (ends && most > 0).then(|| dice.u64(least.max(1)..=most));
    if settings.stream_ids == Some(true) {
        settings.sync_writes = Some(false);
    }
    // What is charged, and what is told at the end of a stream, shows where the window is full again and again.
    let is_small = (settings.stream_ids == Some(true) || settings.end_seqno.is_some()) && dice.bool();
    let small = [Some(2 << 10), Some(4 << 10), Some(16 << 10)];
    let any = [None, None, Some(0), Some(2 << 10), Some(4 << 10), Some(16 << 10), Some(1 << 20)];
    settings.window = dice.choice(if is_small { &small[..] } else { &any[..] }).copied().flatten();
    if settings.end_seqno.is_some() && dice.u8(..3) == 0 {
        nothing_but_the_end(&mut settings, dice, era);
    }
    settings
}

/// The length of a STREAM_END without a stream id: header and reason (dcp-protocol.md §3.5).
const END_LEN: u32 = 24 + 4;

/// Streams that end where they begin, mostly with a window of about one STREAM_END.
fn nothing_but_the_end(settings: &mut ConsumerSettings, dice: &mut Rng, era: Era) {
    settings.end_seqno = Some(0);
    if era >= Era::V6_5 && dice.u8(..3) > 0 {
        (settings.stream_ids, settings.sync_writes) = (Some(true), Some(false));
    }
    if dice.u8(..3) > 0 {
        settings.window = Some(dice.u32(END_LEN - 2..=END_LEN + 6));
    }
}

/// Now and then a vbucket is taken over, where one may be lost: which one is said when it is tried.
fn takeover(dice: &mut Rng, ground: &Ground) -> Option<ConsumerSettings> {
    let vbucket = *ground.spare.first()?;
    if dice.u8(..3) > 0 {
        return None;
    }
    let mut settings =
        ConsumerSettings { stream_flags: Some(1), vbuckets: Some(vec![vbucket]), ..ConsumerSettings::default() };
    // One that is full behind each message is full at whatever is due.
    let tiny = dice.u32(1..=32);
    let sizes = [None, Some(tiny), Some(tiny), Some(2 << 10)];
    settings.window = dice.choice(sizes).flatten();
    let mut sometimes = |value: bool, throws: u32| (dice.u32(..throws) == 0).then_some(value);
    settings.sync_writes = sometimes(false, 5);
    settings.collections = sometimes(false, 8);
    settings.snappy = sometimes(true, 6);
    settings.v7 = sometimes(false, 4).filter(|_| ground.era >= Era::V7_0);
    Some(settings)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the other faults answer nothing")]
/// The message types that the steps of a schedule are to answer; none, which stands for all, where a cut answers all.
pub(super) fn answered(steps: &[Step]) -> Vec<Opcode> {
    let mut messages = Vec::new();
    for fault in steps.iter().flat_map(|step| &step.faults) {
        match fault {
            FaultSpec::OrphanResponse(orphan) => messages.push(orphan.message),
            FaultSpec::CloseStream(close) => messages.extend(&close.messages),
            _ => {}
        }
    }
    messages.sort_unstable();
    messages.dedup();
    messages
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::era::Cell;
    use crate::fault::CloseAt;
    use crate::search::law::Asked;
    use crate::wire::Status;

    fn ground(era: Era) -> Ground {
        Ground::new(era, vec![0, 1, 2], 240)
    }

    #[test]
    fn whatever_is_drawn_is_legal_and_can_be_written_down() {
        for era in Era::ALL {
            for number in 1..=2_000 {
                let scenario = schedule(7, number, &ground(era));
                assert_eq!(law::check(&scenario, &ground(era)), Ok(()), "{era} {number}\n{}", scenario.to_toml());
                let text = scenario.to_toml();
                assert_eq!(Scenario::parse(&text).as_ref(), Ok(&scenario), "{text}");
            }
        }
    }

    /// Where vbuckets may be lost, and nowhere else.
    #[test]
    fn takeovers_are_drawn_where_they_may_be() {
        for era in Era::ALL {
            let (calm, ground) = (ground(era), ground(era).with_spare(vec![5, 6]));
            let mut kinds = BTreeSet::new();
            for number in 1..=2_000 {
                let scenario = schedule(7, number, &ground);
                let text = scenario.to_toml();
                assert_eq!(law::check(&scenario, &ground), Ok(()), "{era} {number}\n{text}");
                assert_eq!(Scenario::parse(&text).as_ref(), Ok(&scenario), "{text}");
                assert!(!schedule(7, number, &calm).is_destructive());
                if scenario.is_destructive() {
                    assert_eq!(scenario.consumer.vbuckets, Some(vec![5]), "{text}");
                    let steps = scenario.steps.iter();
                    kinds.extend(steps.map(|step| match step.faults.first() {
                        None => "looks on",
                        Some(FaultSpec::Send(_)) => "stray",
                        Some(FaultSpec::OrphanResponse(_)) => "refuses",
                        Some(FaultSpec::CloseStream(_)) => "closes",
                        Some(_) => "is slow",
                    }));
                }
            }
            assert_eq!(kinds.len(), 5, "{era}: {kinds:?}");
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_and_another_draws_another() {
        let all = |seed| (1..=50).map(|number| schedule(seed, number, &ground(Era::V7_0)).steps).collect::<Vec<_>>();
        assert_eq!(all(3), all(3));
        assert_ne!(all(3), all(4));
        let different: BTreeSet<String> = (1..=50).map(|n| schedule(3, n, &ground(Era::V7_0)).to_toml()).collect();
        assert_eq!(different.len(), 50);
    }

    /// Nothing that is legal is out of reach.
    #[test]
    fn every_answer_of_every_era_is_drawn() {
        for era in Era::ALL {
            let mut wanted: BTreeSet<(bool, Opcode, Status)> = BTreeSet::new();
            for v7 in [false, true] {
                for message in PROBED {
                    if law::comes(message, &ConsumerSettings::default(), era) && (!v7 || era >= Era::V7_0) {
                        wanted.extend(law::answers(era, v7, message).into_iter().map(|(it, _)| (v7, message, it)));
                    }
                }
            }
            for number in 1..=20_000 {
                if wanted.is_empty() {
                    break;
                }
                let scenario = schedule(1, number, &ground(era));
                for fault in scenario.steps.iter().flat_map(|step| &step.faults) {
                    if let FaultSpec::OrphanResponse(orphan) = fault {
                        wanted.remove(&(law::is_v7(&scenario.consumer, era), orphan.message, orphan.status));
                    }
                }
            }
            assert!(wanted.is_empty(), "{era}: {wanted:?}");
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other faults are not drawn, or are asked for")]
    /// Nothing else that is legal is out of reach: each kind of request, with and without what it may go with.
    #[test]
    fn everything_that_a_consumer_may_ask_is_drawn() {
        let slow = |fault: &FaultSpec| match fault {
            FaultSpec::WithholdAck(_) => Some("withhold_ack"),
            FaultSpec::Delay(delay) if delay.jitter.is_some() => Some("delay with jitter"),
            FaultSpec::Delay(_) => Some("delay"),
            FaultSpec::OrphanResponse(orphan) if orphan.body_size.is_some_and(|size| size.0 > 64 << 10) => Some("map"),
            FaultSpec::CloseStream(close) if close.at == CloseAt::Producer => Some("close at producer"),
            FaultSpec::CloseStream(close) if close.status.is_some() => Some("cut with status"),
            FaultSpec::CloseStream(_) => Some("cut"),
            _ => None,
        };
        for era in Era::ALL {
            let ground = ground(era);
            let mut wanted: BTreeSet<&str> = BTreeSet::from([
                "withhold_ack",
                "delay with jitter",
                "delay",
                "map",
                "close at producer",
                "cut with status",
                "cut",
                "end",
                "absent",
                "twice",
                "again",
                "window",
            ]);
            if era >= Era::V6_5 {
                wanted.extend(["absent with an id", "again, acknowledged", "acknowledged"]);
            }
            if era == Era::Master {
                wanted.insert("wide window");
            }
            for number in 1..=3_000 {
                let scenario = schedule(1, number, &ground);
                let ids = scenario.consumer.stream_ids == Some(true);
                for step in &scenario.steps {
                    let did = match Asked::of(&step.faults, ids, &ground) {
                        Some(Asked::Absent) if ids => Some("absent with an id"),
                        Some(Asked::Absent) => Some("absent"),
                        Some(Asked::Twice) => Some("twice"),
                        Some(Asked::Again { acknowledged: true, .. }) => Some("again, acknowledged"),
                        Some(Asked::Again { .. }) => Some("again"),
                        Some(Asked::Acknowledged { .. }) => Some("acknowledged"),
                        Some(Asked::Window(bytes)) if bytes > u64::from(u32::MAX) => Some("wide window"),
                        Some(Asked::Window(_)) => Some("window"),
                        None if step.faults.is_empty() => Some("end"),
                        None => step.faults.iter().find_map(slow),
                    };
                    did.map(|did| wanted.remove(did));
                }
            }
            assert!(wanted.is_empty(), "{era}: {wanted:?}");
        }
    }

    #[test]
    fn what_must_close_the_connection_is_drawn_and_comes_last() {
        let closing = (1..=2_000).filter(|&number| {
            let scenario = schedule(5, number, &ground(Era::V7_0));
            let v7 = law::is_v7(&scenario.consumer, Era::V7_0);
            let faults = scenario.steps.last().into_iter().flat_map(|step| &step.faults);
            faults.into_iter().any(|fault| {
                let FaultSpec::OrphanResponse(it) = fault else { return false };
                law::answers(Era::V7_0, v7, it.message).contains(&(it.status, Cell::MustClose))
            })
        });
        assert!(closing.count() > 50);
    }
}
