use crate::era;
use crate::era::Cell;
use crate::era::Era;
use crate::era::Situation;
use crate::fault::CloseAt;
use crate::fault::CloseStreamSpec;
use crate::fault::FaultSpec;
use crate::fault::OrphanResponseSpec;
use crate::filter::Filter;
use crate::journal::Role;
use crate::scenario::ConsumerSettings;
use crate::scenario::Per;
use crate::scenario::Scenario;
use crate::scenario::Step;
use crate::scenario::When;
use crate::wire::Opcode;
use crate::wire::Status;

/// The most steps of a schedule.
pub const MAX_STEPS: usize = 6;

/// Where a schedule is played: whose rules hold, and what there is to stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ground {
    /// The producer's era; its consumers are of the same.
    pub era: Era,
    /// The vbuckets that are streamed.
    pub vbuckets: Vec<u16>,
}

/// Whether everything that a scenario does is what a consumer of the era may do; what is not, in words.
///
/// # Errors
/// The first rule of [the module's table](super) that is broken.
pub fn check(scenario: &Scenario, ground: &Ground) -> Result<(), String> {
    let v7 = settings(&scenario.consumer, ground)?;
    if scenario.steps.is_empty() || scenario.steps.len() > MAX_STEPS {
        return Err(format!("expected 1 to {MAX_STEPS} steps, found {}", scenario.steps.len()));
    }
    let last = scenario.steps.len() - 1;
    for (index, step) in scenario.steps.iter().enumerate() {
        let cell = check_step(step, scenario, ground, v7).map_err(|broken| format!("{}: {broken}", step.name))?;
        if cell == Cell::MustClose && index != last {
            return Err(format!("{}: expected what must close the connection in the last step only", step.name));
        }
        if cell == Cell::MustClose && scenario.steps.iter().any(|step| !step.expect.is_empty()) {
            return Err(format!("{}: expected nothing to be waited for on a connection that must close", step.name));
        }
    }
    Ok(())
}

/// Whether `v7_dcp_status_codes` is agreed on with these settings, if they may be asked for.
fn settings(settings: &ConsumerSettings, ground: &Ground) -> Result<bool, String> {
    if settings.stream_ids == Some(true) && settings.sync_writes != Some(false) {
        return Err("expected no sync writes with stream ids (dcp-protocol.md §2.2)".to_owned());
    }
    if settings.noop == Some(0) {
        return Err("expected no-ops, which xattrs and collections need (dcp-protocol.md §3.1)".to_owned());
    }
    Ok(is_v7(settings, ground.era))
}

/// Whether a consumer with these settings and a producer of the era agree on `v7_dcp_status_codes`.
pub(super) fn is_v7(settings: &ConsumerSettings, era: Era) -> bool {
    era >= Era::V7_0 && settings.v7 != Some(false)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is not known to be legal is not")]
fn check_step(step: &Step, scenario: &Scenario, ground: &Ground, v7: bool) -> Result<Cell, String> {
    if step.faults.is_empty() {
        return Err("expected something to do".to_owned());
    }
    if step.when.every.is_some() || step.when.times.is_some() || step.when.probability.is_some() {
        return Err("expected a step to fire once on a stream".to_owned());
    }
    let mut worst = Cell::Keep;
    for fault in &step.faults {
        let cell = match fault {
            FaultSpec::CloseStream(close) => check_close(close, scenario, ground, v7)?,
            FaultSpec::OrphanResponse(orphan) => check_orphan(orphan, &step.when, scenario, ground, v7)?,
            _ => return Err("expected close_stream or orphan_response, found another fault".to_owned()),
        };
        worst = worst.max(cell);
    }
    Ok(worst)
}

fn check_close(close: &CloseStreamSpec, scenario: &Scenario, ground: &Ground, v7: bool) -> Result<Cell, String> {
    match close.at {
        CloseAt::Producer => Ok(Cell::Keep),
        CloseAt::Cut => {
            // Without a status the tool takes only those that the producer has to bear.
            let Some(status) = close.status else { return Ok(Cell::Keep) };
            if close.messages.is_empty() {
                return Err(format!("expected the messages that are answered with {status}, found none"));
            }
            let mut worst = Cell::Keep;
            for &message in &close.messages {
                worst = worst.max(check_answer(message, status, scenario, ground, v7)?);
            }
            Ok(worst)
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
    scenario: &Scenario,
    ground: &Ground,
    v7: bool,
) -> Result<Cell, String> {
    let filters = ground.vbuckets.iter().map(|&vbucket| at_message(orphan.message, Some(vbucket)));
    let mut filters = std::iter::once(at_message(orphan.message, None)).chain(filters);
    if when.from != Some(Role::Producer) || !filters.any(|filter| filter == when.filter) {
        return Err(format!("expected a response to {0} to be triggered by the producer's {0}", orphan.message));
    }
    let met = when.nth.map_or(1, std::num::NonZeroU64::get);
    if orphan.count == 0 || (orphan.count > 1 && (when.per != Per::Stream || u64::from(orphan.count) > met)) {
        return Err(format!("expected no more responses than messages of the stream, found {}", orphan.count));
    }
    if orphan.body.is_some() || orphan.body_size.is_some() {
        return Err("expected a response without a body".to_owned());
    }
    check_answer(orphan.message, orphan.status, scenario, ground, v7)
}

fn check_answer(
    message: Opcode,
    status: Status,
    scenario: &Scenario,
    ground: &Ground,
    v7: bool,
) -> Result<Cell, String> {
    if !comes(message, &scenario.consumer, ground.era) {
        return Err(format!("expected a message that was agreed on, found {message}"));
    }
    let given = answers(ground.era, v7, message);
    given
        .iter()
        .find_map(|&(known, cell)| (known == status).then_some(cell))
        .ok_or_else(|| format!("expected a status that a consumer may answer {message} with, found {status}"))
}

/// The trigger's filter for a message of the producer, of any vbucket or of one.
pub(super) fn at_message(message: Opcode, vbucket: Option<u16>) -> Option<Filter> {
    let name = message.short_name()?.to_ascii_lowercase();
    let of = vbucket.map_or_else(String::new, |vbucket| format!(" && dcp.vbucket == {vbucket}"));
    format!("dcp.opcode == {name}{of}").parse().ok()
}

/// Whether messages of a kind can come at all with these settings.
pub(super) fn comes(message: Opcode, settings: &ConsumerSettings, era: Era) -> bool {
    let on = |setting: Option<bool>| setting != Some(false);
    match message {
        Opcode::DCP_PREPARE | Opcode::DCP_COMMIT | Opcode::DCP_ABORT => on(settings.sync_writes) && era > Era::V6_0,
        Opcode::DCP_EXPIRATION => on(settings.expirations) && era > Era::V6_0,
        Opcode::DCP_SYSTEM_EVENT => on(settings.collections) && era > Era::V6_0,
        Opcode::DCP_STREAM_END => on(settings.stream_end_on_close),
        _ => true,
    }
}

/// The statuses that a consumer of the era may answer a message with, and what is demanded of the producer for each: those
/// at which the producer may do as it likes prove nothing and are left out.
pub fn answers(era: Era, v7: bool, message: Opcode) -> Vec<(Status, Cell)> {
    let situations = [Situation::NoStream, Situation::OtherOpaque, Situation::DeadStream];
    let gone = situations.into_iter().filter_map(|it| era::consumer_answer(era, v7, it, message));
    let mut known: Vec<(Status, Cell)> = Vec::new();
    for status in gone.chain(of_live_stream(message).iter().copied()) {
        let cell = era::producer_cell(era, v7, message, status, true);
        if cell != Cell::MayClose && !known.iter().any(|&(other, _)| other == status) {
            known.push((status, cell));
        }
    }
    known
}

/// What a consumer may answer whose stream is there (orphaned-responses.md §2, second table).
const fn of_live_stream(message: Opcode) -> &'static [Status] {
    match message {
        Opcode::DCP_SNAPSHOT_MARKER => &[Status::ERANGE],
        Opcode::DCP_MUTATION | Opcode::DCP_DELETION | Opcode::DCP_EXPIRATION => {
            &[Status::ERANGE, Status::NOT_MY_VBUCKET, Status::ENOMEM]
        }
        Opcode::DCP_PREPARE | Opcode::DCP_ABORT | Opcode::DCP_SYSTEM_EVENT => {
            &[Status::ERANGE, Status::EINVAL, Status::NOT_MY_VBUCKET, Status::ENOMEM]
        }
        Opcode::DCP_COMMIT => &[Status::ERANGE, Status::KEY_ENOENT, Status::NOT_MY_VBUCKET, Status::ENOMEM],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUND: Ground = Ground { era: Era::V7_0, vbuckets: Vec::new() };

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
        ] {
            assert_eq!(broken(text), "", "{text}");
        }
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
        ] {
            let found = broken(&text);
            assert!(found.contains(expected), "{text}\n{found}");
        }
    }

    #[test]
    fn a_consumer_answers_nothing_that_leaves_the_producer_free() {
        for era in Era::ALL {
            for v7 in [false, true] {
                for message in crate::probe::PROBED {
                    for (status, cell) in answers(era, v7, message) {
                        assert_ne!(cell, Cell::MayClose, "{era} {message} {status}");
                    }
                }
            }
        }
        let commit = answers(Era::V7_0, true, Opcode::DCP_COMMIT);
        assert!(commit.contains(&(Status::DCP_STREAM_NOT_FOUND, Cell::Keep)), "{commit:?}");
        assert!(commit.contains(&(Status::KEY_ENOENT, Cell::MustClose)), "{commit:?}");
    }
}
