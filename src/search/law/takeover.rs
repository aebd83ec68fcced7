use super::is_at;
use crate::fault::FaultSpec;
use crate::fault::SendSpec;
use crate::filter::Filter;
use crate::journal::Role;
use crate::probe::PROBED;
use crate::scenario::ConsumerSettings;
use crate::scenario::Step;
use crate::scenario::When;
use crate::search::Ground;
use crate::wire::Opcode;
use crate::wire::Status;

/// Whether a vbucket may be taken over with these settings: one alone, which may be lost, and all of it.
pub(super) fn settings(settings: &ConsumerSettings, ground: &Ground) -> Result<(), String> {
    let is_spare = matches!(settings.vbuckets.as_deref(), Some([vbucket]) if ground.spare.contains(vbucket));
    let has_more = settings.stream_ids == Some(true) || settings.end_seqno.is_some() || !settings.controls.is_empty();
    if settings.stream_flags != Some(1) || !is_spare || has_more {
        return Err(
            "expected streams without flags, or the takeover of one vbucket that may be lost, without an end, an \
                    id or other controls"
                .to_owned(),
        );
    }
    Ok(())
}

/// The trigger's filter for the state that the producer tells before the last: no marker awaits an answer then.
pub(in crate::search) fn at_state_pending() -> Option<Filter> {
    "dcp.opcode == set_vbucket_state && dcp.state == 3".parse().ok()
}

/// A response to a marker that was answered already, or that nobody has sent.
pub(in crate::search) fn stray() -> FaultSpec {
    FaultSpec::Send(SendSpec { status: Some(Status::SUCCESS), ..SendSpec::of(Opcode::DCP_SNAPSHOT_MARKER) })
}

/// Whether a step tells [`stray`] while the state pending is being answered, and does nothing else.
pub(super) fn is_stray(step: &Step) -> bool {
    step.faults == [stray()] && is_pending(&step.when)
}

/// Whether a step fires before the producer can have told the state active, so that this is still to come: at a message
/// with or before an item, or at the state pending.
pub(super) fn is_before_active(when: &When, ground: &Ground) -> bool {
    let mut messages = PROBED.into_iter().filter(|&message| message != Opcode::DCP_STREAM_END);
    is_pending(when) || (when.from == Some(Role::Producer) && messages.any(|message| is_at(message, when, ground)))
}

fn is_pending(when: &When) -> bool {
    when.from == Some(Role::Producer) && when.filter == at_state_pending()
}
