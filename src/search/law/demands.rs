use std::time::Duration;

use super::Asked;
use super::Deed;
use crate::era::Cell;
use crate::scenario::ConsumerSettings;
use crate::scenario::Expect;
use crate::scenario::Response;
use crate::scenario::Says;
use crate::scenario::StreamEnd;
use crate::scenario::Survives;
use crate::units::Span;
use crate::wire::Opcode;
use crate::wire::Status;

/// How long a close may take to be followed by STREAM_END, a request to be answered, and the connection to live on.
const WITHIN: Duration = Duration::from_secs(5);
/// How long a stream may take to come to an end seqno of at most [`super::MOST_END`], and a takeover to its end.
const ENDS_WITHIN: Duration = Duration::from_secs(8);
/// Rollbacks that may follow closes: one for each stream that goes on from where deletions have been forgotten since
/// (dcp-protocol.md §3.1). A storm has more.
const MOST_ROLLBACKS: u64 = 12;

/// What a producer that does as it should brings about after a deed, whatever else the schedule does.
pub(super) fn of(deed: Deed, settings: &ConsumerSettings) -> Vec<Expect> {
    let within = Some(Span(WITHIN));
    let survives = || Expect::Survives(Survives { within, not: false, of: None, because: None });
    let ends = |within| Expect::StreamEnd(StreamEnd { reason: None, within, not: false, of: None, because: None });
    let answered = |message, status| {
        let (message, status) = (Some(message), vec![status]);
        Expect::Response(Response { message, status, within, not: false, of: None, because: None })
    };
    if settings.takes_over() {
        let comes_to_its_end = match deed {
            Deed::Answers(Cell::Keep) | Deed::Slows | Deed::Watches => true,
            Deed::Answers(_) | Deed::Closes | Deed::Asks(_) => false,
        };
        let expected = comes_to_its_end.then(|| [active(), Some(ends(Some(Span(ENDS_WITHIN))))]);
        return expected.into_iter().flatten().flatten().collect();
    }
    match deed {
        Deed::Closes => {
            let end = (settings.stream_end_on_close != Some(false)).then(|| ends(within));
            [Some(survives()), end, no_storm()].into_iter().flatten().collect()
        }
        Deed::Watches => vec![ends(Some(Span(ENDS_WITHIN)))],
        Deed::Asks(Asked::Absent) => vec![survives(), answered(Opcode::DCP_STREAM_REQ, Status::NOT_MY_VBUCKET)],
        // A stream with an end may have come to it meanwhile.
        Deed::Asks(Asked::Twice) if settings.end_seqno.is_some() => vec![survives()],
        Deed::Asks(Asked::Twice) => vec![survives(), answered(Opcode::DCP_STREAM_REQ, Status::KEY_EEXISTS)],
        Deed::Asks(Asked::Again { .. }) => vec![survives(), answered(Opcode::DCP_STREAM_REQ, Status::SUCCESS)],
        Deed::Asks(Asked::Acknowledged { .. }) => vec![survives()],
        Deed::Asks(Asked::Window(_)) => vec![survives(), answered(Opcode::DCP_CONTROL, Status::SUCCESS)],
        Deed::Answers(_) | Deed::Slows => Vec::new(),
    }
}

/// The consumer is told that the vbucket is its own.
fn active() -> Option<Expect> {
    Some(Expect::Says(Says {
        filter: "dcp.opcode == set_vbucket_state && dcp.state == 1".parse().ok()?,
        at_least: 1,
        at_most: None,
        within: Some(Span(ENDS_WITHIN)),
        not: false,
        of: None,
        because: None,
    }))
}

/// What goes on from where it was is not rolled back again and again.
fn no_storm() -> Option<Expect> {
    Some(Expect::Says(Says {
        filter: "dcp.opcode == stream_req && dcp.status == rollback".parse().ok()?,
        at_least: 0,
        at_most: Some(MOST_ROLLBACKS),
        within: Some(Span(WITHIN)),
        not: false,
        of: None,
        because: None,
    }))
}
