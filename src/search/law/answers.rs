use crate::era;
use crate::era::Cell;
use crate::era::Era;
use crate::era::Situation;
use crate::filter::Filter;
use crate::scenario::ConsumerSettings;
use crate::wire::Opcode;
use crate::wire::Status;

/// The trigger's filter for a message of the producer, of any vbucket or of one.
pub(in crate::search) fn at_message(message: Opcode, vbucket: Option<u16>) -> Option<Filter> {
    text_of(message, vbucket)?.parse().ok()
}

pub(super) fn text_of(message: Opcode, vbucket: Option<u16>) -> Option<String> {
    let name = message.short_name()?.to_ascii_lowercase();
    let of = vbucket.map_or_else(String::new, |vbucket| format!(" && dcp.vbucket == {vbucket}"));
    Some(format!("dcp.opcode == {name}{of}"))
}

/// Whether messages of a kind can come at all with these settings.
pub(in crate::search) fn comes(message: Opcode, settings: &ConsumerSettings, era: Era) -> bool {
    let on = |setting: Option<bool>| setting != Some(false);
    if settings.end_seqno == Some(0) {
        return message == Opcode::DCP_STREAM_END;
    }
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
