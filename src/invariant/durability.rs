//! Section E, first part: prepares and what completes them. Keys are known by their hashes alone.

use super::Concerns;
use super::Invariant;
use super::framing::Fault;
use super::framing::broken_as;
use super::prepares::Prepares;
use super::rule::Alike;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::dcp::Message;
use crate::verdict::Severity;
use crate::wire::Opcode;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([
        held::<CommitOfPrepare>(),
        held::<AbortOfPrepare>(),
        held::<PreparedSeqnoMatches>(),
        held::<PreparedBelowOwn>(),
        held::<OnePrepareAtATime>(),
        held::<NoWriteWhilePending>(),
        held::<PrepareForm>(),
    ]);
}

/// Prepares, what completes them, and what tells whether an older prepare may be left out.
const DURABLE: Concerns = Concerns::requests(&[
    Opcode::DCP_PREPARE,
    Opcode::DCP_COMMIT,
    Opcode::DCP_ABORT,
    Opcode::DCP_SNAPSHOT_MARKER,
    Opcode::DCP_OSO_SNAPSHOT,
]);

fn without_prepare(seen: &Seen<'_>, prepared_seqno: u64) -> Ruling {
    let found = format!("{} of seqno {prepared_seqno}, which was not delivered", seen.header().opcode);
    Ruling::broken("a PREPARE of the key first".to_owned(), found)
}

/// E1. From disk a producer sends no COMMIT, but the document.
#[derive(Debug, Default)]
pub(super) struct CommitOfPrepare(Prepares);

impl Rule for CommitOfPrepare {
    const ID: &'static str = "e1-commit-of-prepare";
    const REQUIREMENT: &'static str = "a PREPARE of the same key precedes every COMMIT";
    const EXCEPTIONS: &'static str = "a prepare up to the seqno that the stream was requested from; snapshots that are not of memory; streams \
         with more than there is room to remember, or with a message that does not decode";
    const CONCERNS: Concerns = DURABLE;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(step) = self.0.take(seen) else { return Ruling::Silent };
        let Message::Commit(commit) = step.message else { return Ruling::Silent };
        match step.pending {
            Some(_) => Ruling::Kept,
            None if step.may_precede(commit.prepared_seqno) || !step.memory => Ruling::Silent,
            None => without_prepare(seen, commit.prepared_seqno),
        }
    }
}

/// E2.
#[derive(Debug, Default)]
pub(super) struct AbortOfPrepare(Prepares);

impl Rule for AbortOfPrepare {
    const ID: &'static str = "e2-abort-of-prepare";
    const REQUIREMENT: &'static str = "a PREPARE of the same key precedes every ABORT";
    const EXCEPTIONS: &'static str = "a prepare up to the seqno that the stream was requested from; snapshots that are not of memory: there it \
         may be left out";
    const CONCERNS: Concerns = DURABLE;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(step) = self.0.take(seen) else { return Ruling::Silent };
        let Message::Abort(abort) = step.message else { return Ruling::Silent };
        match step.pending {
            Some(_) => Ruling::Kept,
            None if step.may_precede(abort.prepared_seqno) || !step.memory => Ruling::Silent,
            None => without_prepare(seen, abort.prepared_seqno),
        }
    }
}

/// E3. What there is no prepare for is E1's and E2's.
#[derive(Debug, Default)]
pub(super) struct PreparedSeqnoMatches(Prepares);

impl Rule for PreparedSeqnoMatches {
    const ID: &'static str = "e3-prepared-seqno";
    const REQUIREMENT: &'static str = "COMMIT and ABORT name the seqno of the pending PREPARE of their key";
    const EXCEPTIONS: &'static str =
        "disk snapshots, in which an older prepare may be left out, and prepares that were pending before one";
    const CONCERNS: Concerns = DURABLE;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(step) = self.0.take(seen) else { return Ruling::Silent };
        let Some(prepared_seqno) = prepared_seqno(step.message) else { return Ruling::Silent };
        match step.pending {
            Some(pending) if pending.seqno == prepared_seqno => Ruling::Kept,
            Some(pending) if pending.certain && step.memory => Ruling::broken(
                format!("prepared seqno {}", pending.seqno),
                format!("{} with {prepared_seqno}", seen.header().opcode),
            ),
            Some(_) | None => Ruling::Silent,
        }
    }
}

fn prepared_seqno(message: &Message) -> Option<u64> {
    #[allow(clippy::wildcard_enum_match_arm)] // the question is put to two kinds of message
    match message {
        Message::Commit(commit) => Some(commit.prepared_seqno),
        Message::Abort(abort) => Some(abort.prepared_seqno),
        _ => None,
    }
}

/// E4.
#[derive(Debug, Default)]
pub(super) struct PreparedBelowOwn;

impl Rule for PreparedBelowOwn {
    const ID: &'static str = "e4-prepared-below-own";
    const REQUIREMENT: &'static str = "the prepared seqno of COMMIT and ABORT is below their own";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_COMMIT, Opcode::DCP_ABORT]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if !matches!(seen.header().opcode, Opcode::DCP_COMMIT | Opcode::DCP_ABORT) {
            return Ruling::Silent;
        }
        let Some((own, _)) = seen.item() else { return Ruling::Silent };
        let Some(prepared) = seen.message().and_then(prepared_seqno) else { return Ruling::Silent };
        Ruling::of(prepared < own, || {
            (format!("a prepared seqno below {own}"), format!("{} with {prepared}", seen.header().opcode))
        })
    }
}

/// E5.
#[derive(Debug, Default)]
pub(super) struct OnePrepareAtATime(Prepares);

impl Rule for OnePrepareAtATime {
    const ID: &'static str = "e5-one-prepare-at-a-time";
    const REQUIREMENT: &'static str = "no second PREPARE of a key comes before the first was committed or aborted";
    const EXCEPTIONS: &'static str =
        "disk snapshots, and keys that were pending before one (a cursor that was dropped, a new stream)";
    const CONCERNS: Concerns = DURABLE;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(step) = self.0.take(seen) else { return Ruling::Silent };
        let Message::Prepare(prepare) = step.message else { return Ruling::Silent };
        match step.pending {
            None => Ruling::Kept,
            Some(pending) if pending.certain && step.memory => Ruling::broken(
                format!("COMMIT or ABORT of seqno {} first", pending.seqno),
                format!("PREPARE of the same key with {}", prepare.by_seqno),
            ),
            Some(_) => Ruling::Silent,
        }
    }
}

/// E6.
#[derive(Debug, Default)]
pub(super) struct NoWriteWhilePending(Prepares);

impl Rule for NoWriteWhilePending {
    const ID: &'static str = "e6-no-write-while-pending";
    const REQUIREMENT: &'static str =
        "no mutation, deletion or expiration of a key comes while a PREPARE of it is pending";
    const EXCEPTIONS: &'static str = "disk snapshots, where it is the commit, and keys that were pending before one";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns =
        Concerns::DOCUMENTS.and(Concerns::requests(&[Opcode::DCP_SNAPSHOT_MARKER, Opcode::DCP_OSO_SNAPSHOT]));
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(step) = self.0.take_all(seen) else { return Ruling::Silent };
        if !matches!(step.message, Message::Mutation(_) | Message::Deletion(_) | Message::Expiration(_)) {
            return Ruling::Silent;
        }
        match step.pending {
            Some(pending) if pending.certain => Ruling::broken(
                format!("COMMIT or ABORT of seqno {} first", pending.seqno),
                format!("{} of the same key", seen.header().opcode),
            ),
            Some(_) => Ruling::Silent,
            None if step.others && step.memory => Ruling::Kept,
            None => Ruling::Silent,
        }
    }

    fn bears_stretch(&self) -> bool {
        self.0.is_unused()
    }
}

/// E9.
#[derive(Debug, Default)]
pub(super) struct PrepareForm;

impl Rule for PrepareForm {
    const ID: &'static str = "e9-prepare-form";
    const REQUIREMENT: &'static str = "a PREPARE has a level of 1 to 3, and neither its CAS nor its seqno is 0";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_PREPARE]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if seen.header().opcode != Opcode::DCP_PREPARE || seen.produced().is_none() {
            return Ruling::Silent;
        }
        match &seen.head.message {
            Ok(_) => Ruling::Kept,
            Err(reason) if Fault::of(seen.header().opcode, &reason.0) == Fault::Prepare => broken_as(&reason.0),
            Err(_) => Ruling::Silent,
        }
    }
}

#[cfg(test)]
mod tests;
