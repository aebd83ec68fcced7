mod answers;
mod asked;
mod demands;
mod takeover;

use std::time::Duration;

use crate::era::Cell;
use crate::era::Era;
use crate::fault::CloseAt;
use crate::fault::CloseStreamSpec;
use crate::fault::DelaySpec;
use crate::fault::FaultSpec;
use crate::fault::OrphanResponseSpec;
use crate::fault::WithholdAckSpec;
use crate::journal::Role;
use crate::probe::PROBED;
use crate::scenario::ConsumerSettings;
use crate::scenario::Expect;
use crate::scenario::Per;
use crate::scenario::Scenario;
use crate::scenario::Step;
use crate::scenario::When;
use crate::wire::Opcode;
use crate::wire::Status;

pub use answers::answers;
pub(super) use answers::at_message;
pub(super) use answers::comes;
pub(super) use asked::Asked;
pub(super) use asked::MOST_ACKNOWLEDGED;
pub(super) use asked::at_seqno;
pub(super) use takeover::at_state_pending;
pub(super) use takeover::stray;

/// The most steps of a schedule.
pub const MAX_STEPS: usize = 6;
/// The highest end seqno of a stream, and the highest seqno of a vbucket that is taken over: it is come to soon, however
/// slowly its consumer acknowledges.
pub const MOST_END: u64 = 500;
/// The longest body of a response: a cluster map of 100 KiB (orphaned-responses.md §5.9).
pub const MOST_BODY: u64 = 100 << 10;
/// How long acknowledgements are withheld at the most: all of a schedule's together for less than anything is waited for.
pub const MOST_WITHHELD: Duration = Duration::from_millis(500);
/// By how much the consumer's words are delayed at the most, and for how long.
pub const MOST_DELAYED: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Where a schedule is played: whose rules hold, and what there is to stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ground {
    /// The producer's era; its consumers are of the same.
    pub era: Era,
    /// The vbuckets that are streamed.
    pub vbuckets: Vec<u16>,
    /// Each of them has seqnos up to this one at least.
    pub reach: u64,
    /// A vbucket that the producer does not have.
    pub absent: u16,
    /// Other active vbuckets of it, with 1 to [`MOST_END`] seqnos each: takeovers may cost it these. None where nothing may be lost.
    pub spare: Vec<u16>,
}

/// Vbuckets that no bucket has: there are 1,024 at the most.
const ABSENT: u16 = 2000;

impl Ground {
    /// A producer of the era, with these vbuckets to be streamed, of which each has seqnos up to `reach`.
    pub const fn new(era: Era, vbuckets: Vec<u16>, reach: u64) -> Self {
        Self { era, vbuckets, reach, absent: ABSENT, spare: Vec::new() }
    }

    /// The same, and these vbuckets may be lost.
    #[must_use]
    pub fn with_spare(self, spare: Vec<u16>) -> Self {
        Self { spare, ..self }
    }
}

/// What a step does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    /// It answers messages; what the worst of the answers demands of the producer.
    Answers(Cell),
    /// It closes a stream at the producer.
    Closes,
    /// It lets the consumer be slow.
    Slows,
    /// It asks for something.
    Asks(Asked),
    /// It does nothing, and looks on.
    Watches,
}

/// Whether everything that a scenario does is what a consumer of the era may do, and everything that it expects what a
/// producer owes; what is not, in words.
///
/// # Errors
/// The first rule of [the module's table](super) that is broken.
pub fn check(scenario: &Scenario, ground: &Ground) -> Result<(), String> {
    settings(&scenario.consumer, ground)?;
    let takes_over = scenario.consumer.takes_over();
    if scenario.destructive != takes_over {
        return Err("expected a scenario to be destructive if it takes a vbucket over, and only then".to_owned());
    }
    if scenario.steps.is_empty() || scenario.steps.len() > MAX_STEPS {
        return Err(format!("expected 1 to {MAX_STEPS} steps, found {}", scenario.steps.len()));
    }
    let last = scenario.steps.len() - 1;
    for (index, step) in scenario.steps.iter().enumerate() {
        let before = &scenario.steps[..index];
        let named = |broken| format!("{}: {broken}", step.name);
        if step.faults.is_empty() && step.expect.is_empty() {
            return Err(named("expected something to do".to_owned()));
        }
        let deed = deed(step, before, &scenario.consumer, ground).map_err(named)?;
        let owed = owed_after(deed, step, &scenario.consumer, ground);
        if let Some(expect) = step.expect.iter().find(|expect| !owed.contains(expect)) {
            return Err(named(format!("expected only what the producer owes after that, found {}", expect.name())));
        }
        let ends = match deed {
            Deed::Answers(Cell::MustClose) => "what must close the connection",
            Deed::Closes if takes_over => "the close of a takeover",
            Deed::Answers(_) | Deed::Closes | Deed::Slows | Deed::Asks(_) | Deed::Watches => continue,
        };
        if index != last {
            return Err(named(format!("expected {ends} in the last step only")));
        }
        if scenario.steps.iter().any(|step| !step.expect.is_empty()) {
            return Err(named(format!("expected nothing to be waited for beside {ends}")));
        }
    }
    Ok(())
}

/// What a producer owes after a step, behind those before it.
///
/// # Errors
/// The first rule that the step breaks.
pub(super) fn owed(
    step: &Step,
    before: &[Step],
    consumer: &ConsumerSettings,
    ground: &Ground,
) -> Result<Vec<Expect>, String> {
    deed(step, before, consumer, ground).map(|deed| owed_after(deed, step, consumer, ground))
}

fn owed_after(deed: Deed, step: &Step, consumer: &ConsumerSettings, ground: &Ground) -> Vec<Expect> {
    if consumer.takes_over() && !takeover::is_before_active(&step.when, ground) {
        return Vec::new();
    }
    demands::of(deed, consumer)
}

/// Whether a consumer may ask for that.
fn settings(settings: &ConsumerSettings, ground: &Ground) -> Result<(), String> {
    if settings.stream_ids == Some(true) && settings.sync_writes != Some(false) {
        return Err("expected no sync writes with stream ids (dcp-protocol.md §2.2)".to_owned());
    }
    if settings.noop == Some(0) {
        return Err("expected no-ops, which xattrs and collections need (dcp-protocol.md §3.1)".to_owned());
    }
    if settings.takes_over() {
        takeover::settings(settings, ground)?;
    } else if settings.stream_flags.is_some() || settings.vbuckets.is_some() || !settings.controls.is_empty() {
        return Err(
            "expected streams without flags of the vbuckets that are looked at, and no other controls".to_owned()
        );
    }
    let most = ground.reach.min(MOST_END);
    if let Some(end) = settings.end_seqno.filter(|&end| end > most) {
        return Err(format!("expected an end seqno from 0 to {most}, which each vbucket has, found {end}"));
    }
    Ok(())
}

/// Whether a consumer with these settings and a producer of the era agree on `v7_dcp_status_codes`.
pub(super) fn is_v7(settings: &ConsumerSettings, era: Era) -> bool {
    era >= Era::V7_0 && settings.v7 != Some(false)
}

fn deed(step: &Step, before: &[Step], consumer: &ConsumerSettings, ground: &Ground) -> Result<Deed, String> {
    if step.when.every.is_some() || step.when.times.is_some() || step.when.probability.is_some() {
        return Err("expected a step to fire once on a stream".to_owned());
    }
    if step.faults.is_empty() {
        return watches(step, consumer, ground);
    }
    if consumer.takes_over() && takeover::is_stray(step) {
        return Ok(Deed::Answers(Cell::Keep));
    }
    if step.faults.iter().any(|fault| matches!(fault, FaultSpec::Send(_))) {
        return asks(step, before, consumer, ground);
    }
    let ids = consumer.stream_ids == Some(true);
    let asks_again = |step: &Step| matches!(Asked::of(&step.faults, ids, ground), Some(Asked::Again { .. }));
    let cuts = step.faults.iter().any(|fault| matches!(fault, FaultSpec::CloseStream(it) if it.at == CloseAt::Cut));
    if cuts && before.iter().any(asks_again) {
        return Err("expected no cut behind a stream that stands in the place of the consumer's".to_owned());
    }
    let deeds: Result<Vec<Deed>, String> =
        step.faults.iter().map(|fault| simple_deed(fault, &step.when, consumer, ground)).collect();
    let deeds = deeds?;
    let worst = deeds.iter().filter_map(|deed| if let Deed::Answers(cell) = deed { Some(*cell) } else { None }).max();
    Ok(worst.map_or_else(|| deeds.first().copied().unwrap_or(Deed::Slows), Deed::Answers))
}

/// Nothing is done: a stream is to come to its end by itself, and its STREAM_END is never left out.
fn watches(step: &Step, consumer: &ConsumerSettings, ground: &Ground) -> Result<Deed, String> {
    let ends = consumer.takes_over() || consumer.end_seqno.is_some_and(|end| end > 0);
    if !ends || consumer.stream_end_on_close == Some(false) {
        return Err("expected something to do, or streams that end, and to be told so".to_owned());
    }
    if !is_at_message(&step.when, ground) {
        return Err("expected a message of a stream to look on from".to_owned());
    }
    Ok(Deed::Watches)
}

fn asks(step: &Step, before: &[Step], consumer: &ConsumerSettings, ground: &Ground) -> Result<Deed, String> {
    let ids = consumer.stream_ids == Some(true);
    let asked = Asked::of(&step.faults, ids, ground).ok_or("expected requests that a consumer makes")?;
    if consumer.takes_over() {
        return Err("expected no request of a consumer that takes a vbucket over, but its own".to_owned());
    }
    asked.check(consumer, ground.era)?;
    let when = &step.when;
    let is_mid_transfer = when.mid_transfer == Some(true) && (when.filter.is_none() || is_at_message(when, ground));
    let has_asked = |wanted| {
        let asked = before.iter().filter_map(|step| Asked::of(&step.faults, ids, ground));
        asked.filter(|asked| matches!(asked, Asked::Again { opaque, .. } if *opaque == wanted)).count()
    };
    match asked {
        Asked::Twice | Asked::Again { .. } if !is_mid_transfer => {
            Err("expected a request for an open stream in the middle of its transfer".to_owned())
        }
        Asked::Absent | Asked::Window(_) if !is_mid_transfer && !is_at_message(when, ground) => {
            Err("expected a request at a message of a stream: all is agreed on by then".to_owned())
        }
        Asked::Again { opaque, .. } if has_asked(opaque) > 0 => {
            Err(format!("expected an opaque that no stream has had, found {opaque}"))
        }
        Asked::Acknowledged { opaque, .. } if has_asked(opaque) == 0 => {
            Err(format!("expected an acknowledgement of a stream that was asked for, found {opaque}"))
        }
        Asked::Acknowledged { opaque, seqno }
            if when.filter != at_seqno(opaque, seqno) || when.from != Some(Role::Producer) =>
        {
            Err("expected an acknowledgement of what has come".to_owned())
        }
        Asked::Absent | Asked::Twice | Asked::Again { .. } | Asked::Acknowledged { .. } | Asked::Window(_) => {
            Ok(Deed::Asks(asked))
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is not known to be legal is not")]
fn simple_deed(fault: &FaultSpec, when: &When, consumer: &ConsumerSettings, ground: &Ground) -> Result<Deed, String> {
    match fault {
        FaultSpec::CloseStream(close) => check_close(close, consumer, ground),
        FaultSpec::OrphanResponse(orphan) => check_orphan(orphan, when, consumer, ground).map(Deed::Answers),
        FaultSpec::WithholdAck(withheld) => check_withheld(withheld),
        FaultSpec::Delay(delay) => check_delay(delay),
        _ => Err("expected what a consumer does, found another fault".to_owned()),
    }
}

fn check_close(close: &CloseStreamSpec, consumer: &ConsumerSettings, ground: &Ground) -> Result<Deed, String> {
    match close.at {
        CloseAt::Producer if consumer.end_seqno == Some(0) => {
            Err("expected no close of streams that end at once".to_owned())
        }
        CloseAt::Producer => Ok(Deed::Closes),
        CloseAt::Cut if consumer.takes_over() => {
            Err("expected no cut of a takeover: it cannot be requested again".to_owned())
        }
        CloseAt::Cut if consumer.end_seqno.is_some() => {
            Err("expected no cut of streams with an end: they are requested again without".to_owned())
        }
        CloseAt::Cut => {
            // Without a status the tool takes only those that the producer has to bear.
            let Some(status) = close.status else { return Ok(Deed::Answers(Cell::Keep)) };
            if close.messages.is_empty() {
                return Err(format!("expected the messages that are answered with {status}, found none"));
            }
            let mut worst = Cell::Keep;
            for &message in &close.messages {
                worst = worst.max(check_answer(message, status, consumer, ground)?);
            }
            Ok(Deed::Answers(worst))
        }
        CloseAt::End | CloseAt::Consumer | CloseAt::Both => {
            Err(format!("expected a close at cut or producer, which need no consumer node, found {}", close.at))
        }
    }
}

/// No more responses than there were messages.
fn check_orphan(
    orphan: &OrphanResponseSpec,
    when: &When,
    consumer: &ConsumerSettings,
    ground: &Ground,
) -> Result<Cell, String> {
    if when.from != Some(Role::Producer) || !is_at(orphan.message, when, ground) {
        return Err(format!("expected a response to {0} to be triggered by the producer's {0}", orphan.message));
    }
    let met = when.nth.map_or(1, std::num::NonZeroU64::get);
    if orphan.count == 0 || (orphan.count > 1 && (when.per != Per::Stream || u64::from(orphan.count) > met)) {
        return Err(format!("expected no more responses than messages of the stream, found {}", orphan.count));
    }
    let size = orphan.body_size.map(|size| size.0);
    if orphan.body.is_some() || size.is_some_and(|size| orphan.status != Status::NOT_MY_VBUCKET || size > MOST_BODY) {
        return Err("expected a cluster map of up to 100 KiB with NotMyVbucket, or no body".to_owned());
    }
    check_answer(orphan.message, orphan.status, consumer, ground)
}

fn check_answer(message: Opcode, status: Status, consumer: &ConsumerSettings, ground: &Ground) -> Result<Cell, String> {
    if !comes(message, consumer, ground.era) {
        return Err(format!("expected a message that was agreed on, found {message}"));
    }
    let given = answers(ground.era, is_v7(consumer, ground.era), message);
    given
        .iter()
        .find_map(|&(known, cell)| (known == status).then_some(cell))
        .ok_or_else(|| format!("expected a status that a consumer may answer {message} with, found {status}"))
}

/// Acknowledgements may come late, but all of them come.
fn check_withheld(withheld: &WithholdAckSpec) -> Result<Deed, String> {
    if withheld.lost || withheld.lasts.is_none_or(|lasts| lasts.0 > MOST_WITHHELD) {
        return Err(format!("expected acknowledgements that come within {} ms", MOST_WITHHELD.as_millis()));
    }
    Ok(Deed::Slows)
}

fn check_delay(delay: &DelaySpec) -> Result<Deed, String> {
    let (by, lasts) = MOST_DELAYED;
    let is_short = delay.by.0 <= by && delay.jitter.is_none_or(|jitter| jitter.0 <= by);
    if delay.from != Some(Role::Consumer) || !is_short || delay.lasts.is_none_or(|span| span.0 > lasts) {
        let (by, lasts) = (by.as_millis(), lasts.as_millis());
        return Err(format!("expected the consumer to be late by up to {by} ms, for up to {lasts} ms"));
    }
    Ok(Deed::Slows)
}

/// Whether a step fires at messages of one kind of the producer's, of any vbucket or of one.
fn is_at_message(when: &When, ground: &Ground) -> bool {
    when.from == Some(Role::Producer) && PROBED.into_iter().any(|message| is_at(message, when, ground))
}

fn is_at(message: Opcode, when: &When, ground: &Ground) -> bool {
    let Some(text) = when.filter.as_ref().map(ToString::to_string) else { return false };
    let vbuckets = ground.vbuckets.iter().map(|&vbucket| Some(vbucket));
    std::iter::once(None).chain(vbuckets).any(|vbucket| answers::text_of(message, vbucket).as_ref() == Some(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUND: Ground = Ground::new(Era::V7_0, Vec::new(), 200);

    const REQUEST: &str = "message = \"stream_req\", extras = \"00000000 00000000 0000000000000000 ffffffffffffffff \
                           0000000000000000 0000000000000000 0000000000000000\"";
    const REFUSED: &str =
        "expect = { response = { message = \"stream_req\", status = [\"KeyEexists\"], within = \"5s\" } }";
    const AGAIN: &str = "{ name = \"a\", when = { mid_transfer = true }, do = [{ send = { message = \"close_stream\" } }, \
                         { send = { message = \"stream_req\", opaque = \"0xdddd0001\", extras = \"0000000000000000\
                         0000000000000000ffffffffffffffff000000000000000000000000000000000000000000000000\" } }] }";
    const AT_SEQNO: &str = "when = { filter = \"dcp.opaque == 0xdddd0001 && dcp.seqno >= 7\", from = \"producer\" }";
    const ACK: &str = "message = \"seqno_ack\", opaque = \"0xdddd0001\", extras = \"0000000000000007\"";

    fn broken(text: &str) -> String {
        let text = format!("name = \"x\"\nabout = \"y\"\n{text}");
        check(&Scenario::parse(&text).unwrap(), &GROUND).err().unwrap_or_default()
    }

    #[test]
    fn what_a_consumer_may_do_is_legal() {
        for text in [
            "steps = [{ name = \"a\", do = { close_stream = { at = \"cut\" } } }]",
            "steps = [{ name = \"a\", do = { close_stream = { at = \"producer\" } } }]",
            "steps = [{ name = \"a\", when = { filter = \"dcp.opcode == commit\", from = \"producer\" }, \
             do = { orphan_response = { message = \"DCP_COMMIT\", status = \"DcpStreamNotFound\" } } }]",
            "steps = [{ name = \"a\", when = { filter = \"dcp.opcode == mutation\", from = \"producer\", nth = 3, per = \
             \"stream\" }, do = { orphan_response = { message = \"DCP_MUTATION\", status = \"Erange\", count = 3 } } }]",
            "steps = [{ name = \"a\", when = { filter = \"dcp.opcode == mutation\", from = \"producer\" }, \
             do = { orphan_response = { message = \"DCP_MUTATION\", status = \"NotMyVbucket\", body_size = \"100KiB\" } } }]",
            "steps = [{ name = \"a\", do = { withhold_ack = { for = \"500ms\" } } }]",
            "steps = [{ name = \"a\", do = { delay = { from = \"consumer\", by = \"100ms\", for = \"1s\" } } }]",
            "consumer.end_seqno = 200\nsteps = [{ name = \"a\", when = { filter = \"dcp.opcode == snapshot_marker\", \
             from = \"producer\" }, expect = { stream_end = { within = \"8s\" } } }]",
            &format!(
                "steps = [{{ name = \"a\", when = {{ mid_transfer = true }}, do = {{ send = {{ {REQUEST} }} }}, {REFUSED} }}]"
            ),
            &format!("steps = [{AGAIN}, {{ name = \"b\", {AT_SEQNO}, do = {{ send = {{ {ACK} }} }} }}]"),
        ] {
            assert_eq!(broken(text), "", "{text}");
        }
    }

    /// On a ground with vbucket 5 to spare.
    fn of_takeover(text: &str) -> String {
        let ground = GROUND.with_spare(vec![5]);
        let text = format!(
            "name = \"x\"\nabout = \"y\"\ndestructive = true\nconsumer = {{ stream_flags = 1, vbuckets = [5] }}\n{text}"
        );
        check(&Scenario::parse(&text).unwrap(), &ground).err().unwrap_or_default()
    }

    #[test]
    fn a_takeover_is_legal_where_the_vbucket_may_be_lost() {
        let stray = |at: &str, status: &str| {
            format!(
                "steps = [{{ name = \"a\", when = {{ filter = \"dcp.opcode == {at}\", from = \"producer\" }}, do = {{ \
                 send = {{ message = \"DCP_SNAPSHOT_MARKER\", status = \"{status}\" }} }}, expect = [{{ \
                 says = {{ filter = \"dcp.opcode == set_vbucket_state && dcp.state == 1\", within = \"8s\" }} }}, {{ stream_end = \
                 {{ within = \"8s\" }} }}] }}]"
            )
        };
        assert_eq!(of_takeover(&stray("set_vbucket_state && dcp.state == 3", "Success")), "");
        let looks_on = "steps = [{ name = \"a\", when = { filter = \"dcp.opcode == mutation\", from = \"producer\" }, expect = { \
                        stream_end = { within = \"8s\" } } }]";
        assert_eq!(of_takeover(looks_on), "");
        let close = "{ name = \"b\", when = { filter = \"dcp.opcode == mutation\", from = \"producer\" }, do = { close_stream = { \
                     at = \"producer\" } } }";
        assert_eq!(of_takeover(&format!("steps = [{close}]")), "");
        for (text, expected) in [
            (stray("set_vbucket_state && dcp.state == 1", "Success"), "requests that a consumer makes"),
            (
                "steps = [{ name = \"a\", do = { withhold_ack = { for = \"1ms\" } }, expect = { stream_end = { within = \"8s\" } } }]"
                    .to_owned(),
                "only what the producer owes",
            ),
            (stray("set_vbucket_state && dcp.state == 3", "Erange"), "requests that a consumer makes"),
            (stray("mutation", "Success"), "requests that a consumer makes"),
            ("steps = [{ name = \"a\", do = { close_stream = { at = \"cut\" } } }]".to_owned(), "no cut of a takeover"),
            (looks_on.replace("}]", &format!("}}, {close}]")), "expected nothing to be waited for beside the close"),
            (
                format!("steps = [{close}, {{ name = \"c\", do = {{ withhold_ack = {{ for = \"1ms\" }} }} }}]"),
                "in the last step only",
            ),
            (
                format!(
                    "steps = [{{ name = \"a\", when = {{ mid_transfer = true }}, do = {{ send = {{ {REQUEST} }} }} }}]"
                ),
                "no request of a consumer that takes a vbucket over",
            ),
        ] {
            let found = of_takeover(&text);
            assert!(found.contains(expected), "{text}\n{found}");
        }
        assert!(broken(looks_on).contains("streams that end"), "no takeover");
        let named = "consumer = { stream_flags = 1, vbuckets = [6] }\ndestructive = true\n";
        assert!(broken(&format!("{named}{looks_on}")).contains("may be lost"));
        let hidden = Scenario::parse(&format!(
            "name = \"x\"\nabout = \"y\"\n{}\n{looks_on}",
            "consumer = { stream_flags = 1, vbuckets = [5] }"
        ));
        assert!(check(&hidden.unwrap(), &GROUND.with_spare(vec![5])).unwrap_err().contains("to be destructive"));
    }

    #[test]
    fn what_no_consumer_may_do_is_named() {
        let orphan = |when: &str, fault: &str| {
            format!("steps = [{{ name = \"a\", when = {{ {when} }}, do = {{ orphan_response = {{ {fault} }} }} }}]")
        };
        let at_commit = "filter = \"dcp.opcode == commit\", from = \"producer\"";
        let not_found = "message = \"DCP_COMMIT\", status = \"DcpStreamNotFound\"";
        for (text, expected) in [
            ("steps = [{ name = \"a\", do = { close_stream = { at = \"end\" } } }]".to_owned(), "found end"),
            (orphan("from = \"producer\"", not_found), "to be triggered by the producer's DCP_COMMIT"),
            (orphan("filter = \"dcp.opcode == commit\"", not_found), "to be triggered by the producer's DCP_COMMIT"),
            (orphan("filter = \"dcp.opcode == mutation\", from = \"producer\"", not_found), "to be triggered by"),
            (orphan(at_commit, &format!("{not_found}, count = 2")), "no more responses than messages"),
            (orphan(at_commit, "message = \"DCP_COMMIT\", status = \"Etmpfail\""), "found Etmpfail"),
            (
                format!("consumer.sync_writes = false\n{}", orphan(at_commit, not_found)),
                "expected a message that was agreed on, found DCP_COMMIT",
            ),
            (orphan(&format!("{at_commit}, every = 1"), not_found), "to fire once"),
            (
                "consumer.stream_ids = true\nsteps = [{ name = \"a\", do = { close_stream = {} } }]".to_owned(),
                "no sync writes with stream ids",
            ),
            (
                "steps = [{ name = \"a\", when = { filter = \"dcp.opcode == commit\", from = \"producer\" }, do = { \
                 orphan_response = { message = \"DCP_COMMIT\", status = \"Einval\" } } }, { name = \"b\", do = { \
                 close_stream = {} } }]"
                    .to_owned(),
                "found Einval",
            ),
            (
                "steps = [{ name = \"a\", when = { filter = \"dcp.opcode == abort\", from = \"producer\" }, do = { \
                 orphan_response = { message = \"DCP_ABORT\", status = \"Einval\" } } }, { name = \"b\", do = { \
                 close_stream = {} } }]"
                    .to_owned(),
                "a: expected what must close the connection in the last step only",
            ),
            (
                orphan("filter = \"dcp.opcode == mutation\", from = \"producer\"", "message = \"DCP_MUTATION\", status = \
                 \"Erange\", body_size = \"1KiB\""),
                "a cluster map of up to 100 KiB with NotMyVbucket",
            ),
            ("steps = [{ name = \"a\", do = { withhold_ack = {} } }]".to_owned(), "that come within 500 ms"),
            ("steps = [{ name = \"a\", do = { withhold_ack = { for = \"1s\" } } }]".to_owned(), "that come within 500 ms"),
            ("steps = [{ name = \"a\", do = { delay = { by = \"1ms\", for = \"1s\" } } }]".to_owned(), "the consumer to be late"),
            ("consumer.end_seqno = 201\nsteps = [{ name = \"a\", do = { withhold_ack = { for = \"1ms\" } } }]".to_owned(), "an end seqno from 0 to 200"),
            ("consumer.stream_flags = 1\nsteps = [{ name = \"a\", do = { withhold_ack = { for = \"1ms\" } } }]".to_owned(), "streams without flags"),
            (
                "consumer.end_seqno = 9\nsteps = [{ name = \"a\", do = { close_stream = {} } }]".to_owned(),
                "no cut of streams with an end",
            ),
            (
                "steps = [{ name = \"a\", when = { filter = \"dcp.opcode == mutation\", from = \"producer\" }, expect = { \
                 stream_end = { within = \"8s\" } } }]"
                    .to_owned(),
                "something to do, or streams that end",
            ),
            (
                "steps = [{ name = \"a\", do = { close_stream = { at = \"producer\" } }, expect = { disconnect = {} } }]".to_owned(),
                "only what the producer owes after that, found disconnect",
            ),
            (format!("steps = [{{ name = \"a\", do = {{ send = {{ {REQUEST} }} }} }}]"), "in the middle of its transfer"),
            (
                format!("steps = [{{ name = \"a\", when = {{ mid_transfer = true }}, do = {{ send = {{ {REQUEST}, vbucket = 1 }} }} }}]"),
                "requests that a consumer makes",
            ),
            (format!("steps = [{{ name = \"b\", {AT_SEQNO}, do = {{ send = {{ {ACK} }} }} }}]"), "of a stream that was asked for"),
            (
                format!("steps = [{AGAIN}, {{ name = \"b\", do = {{ close_stream = {{}} }} }}]"),
                "no cut behind a stream that stands in the place",
            ),
            (format!("steps = [{AGAIN}, {}]", AGAIN.replace("\"a\"", "\"b\"")), "an opaque that no stream has had"),
            (
                format!("steps = [{AGAIN}, {{ name = \"b\", {}, do = {{ send = {{ {ACK} }} }} }}]", AT_SEQNO.replace('7', "6")),
                "an acknowledgement of what has come",
            ),
            (
                format!("consumer.consumer_name = false\nsteps = [{AGAIN}, {{ name = \"b\", {AT_SEQNO}, do = {{ send = {{ {ACK} }} }} }}]"),
                "only with sync replication",
            ),
            (
                "steps = [{ name = \"a\", when = { mid_transfer = true }, do = { send = { message = \"control\", key = \
                 \"connection_buffer_size\", value = \"4294967296\" } } }]"
                    .to_owned(),
                "a larger window of up to 4294967295 bytes",
            ),
        ] {
            let found = broken(&text);
            assert!(found.contains(expected), "{text}\n{found}");
        }
    }
}
