//! Section D, last part: cache transfers.

use super::Concerns;
use super::Invariant;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::dcp::Message;
use crate::dcp::StreamReq;
use crate::wire::Opcode;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([held::<CacheBeforeSnapshots>(), held::<CacheTransferEnds>()]);
}

/// D23.
#[derive(Debug, Default)]
pub(super) struct CacheBeforeSnapshots;

impl Rule for CacheBeforeSnapshots {
    const ID: &'static str = "d23-cache-before-snapshots";
    const REQUIREMENT: &'static str =
        "CACHE_TRANSFERs precede the first marker, and none of their items is above the seqno requested";
    const EXCEPTIONS: &'static str = "keys that come twice";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_CACHE_TRANSFER]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let (Some(Message::CacheTransfer(transfer)), Some(before)) = (seen.message(), seen.produced_live()) else {
            return Ruling::Silent;
        };
        if before.snapshots > 0 || before.cache_transfer_ends > 0 {
            return Ruling::broken("no cache transfer after its end".to_owned(), "DCP_CACHE_TRANSFER".to_owned());
        }
        let start = before.request.start_seqno;
        let above = transfer.items.iter().map(|item| item.by_seqno).find(|&seqno| seqno > start);
        Ruling::of(above.is_none(), || {
            (format!("seqnos of at most {start}"), above.map(|seqno| seqno.to_string()).unwrap_or_default())
        })
    }
}

/// D24. A transfer that was cancelled ends the same way; one of a stream that ends at its start ends with STREAM_END.
#[derive(Debug, Default)]
pub(super) struct CacheTransferEnds;

impl Rule for CacheTransferEnds {
    const ID: &'static str = "d24-cache-transfer-ends";
    const REQUIREMENT: &'static str =
        "a cache transfer ends with one CACHE_TRANSFER_END where data follows it, and with none where the stream ends";
    const EXCEPTIONS: &'static str =
        "a producer that ignores the flag; a transfer that was cancelled ends the same way";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_CACHE_TRANSFER_END, Opcode::DCP_SNAPSHOT_MARKER]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(before) = seen.produced_live().filter(|b| b.request.has(StreamReq::CACHE_TRANSFER)) else {
            return Ruling::Silent;
        };
        let goes_on = before.request.end_seqno > before.request.start_seqno;
        match seen.message() {
            Some(Message::CacheTransferEnd(_)) => Ruling::of(goes_on && before.cache_transfer_ends == 0, || {
                let expected = if goes_on { "one CACHE_TRANSFER_END" } else { "STREAM_END" };
                (expected.to_owned(), "DCP_CACHE_TRANSFER_END".to_owned())
            }),
            // A producer may ignore the flag: then there is neither transfer nor end.
            Some(Message::SnapshotMarker(_)) if before.snapshots == 0 && before.cache_transfers > 0 => {
                Ruling::of(before.cache_transfer_ends == 1, || {
                    ("CACHE_TRANSFER_END first".to_owned(), "a marker".to_owned())
                })
            }
            _ => Ruling::Silent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::verdicts;
    use super::*;
    use crate::dcp;
    use crate::dcp::FrameHead;
    use crate::session::script::*;
    use crate::verdict::Verdict;
    use crate::wire::Datatype;
    use crate::wire::Opcode;

    const PASS: Option<Verdict> = Some(Verdict::Pass);
    const FAIL: Option<Verdict> = Some(Verdict::Fail);

    fn transfer(by_seqno: u64) -> FrameHead {
        let item = dcp::CacheItem {
            cas: 1,
            by_seqno,
            rev_seqno: 1,
            value_len: 0,
            flags: 0,
            expiration: 0,
            key_len: 2,
            datatype: Datatype::RAW,
            cache_hint: 0,
            collection_id: Some(0),
        };
        let message = Message::CacheTransfer(dcp::CacheTransfer { items: vec![item] });
        request(Opcode::DCP_CACHE_TRANSFER, 1, 10, message)
    }

    fn end() -> FrameHead {
        request(Opcode::DCP_CACHE_TRANSFER_END, 1, 10, Message::CacheTransferEnd(dcp::CacheTransferEnd))
    }

    fn of<R: Rule>(end_seqno: u64, heads: &[FrameHead]) -> Option<Verdict> {
        let mut script = Script::opened();
        let mut head = stream_req(1, 10, 5);
        if let Ok(Message::StreamReq(request)) = &mut head.message {
            request.flags = StreamReq::CACHE_TRANSFER;
            request.end_seqno = end_seqno;
        }
        script.c(head);
        script.p(stream_ok(10));
        for head in heads {
            script.p(head.clone());
        }
        verdicts::<R>(&script).0
    }

    #[test]
    fn transfers_come_first_and_from_below() {
        type R = CacheBeforeSnapshots;
        assert_eq!(of::<R>(9, &[transfer(5), end(), marker(1, 10, 5, 9)]), PASS);
        assert_eq!(of::<R>(9, &[transfer(6)]), FAIL);
        assert_eq!(of::<R>(9, &[end(), marker(1, 10, 5, 9), transfer(5)]), FAIL);
        assert_eq!(of::<R>(9, &[transfer(5), end(), transfer(5)]), FAIL);
    }

    #[test]
    fn transfers_end_once_where_data_follows() {
        type R = CacheTransferEnds;
        assert_eq!(of::<R>(9, &[transfer(5), end(), marker(1, 10, 5, 9)]), PASS);
        assert_eq!(of::<R>(9, &[transfer(5), marker(1, 10, 5, 9)]), FAIL);
        assert_eq!(of::<R>(9, &[transfer(5), end(), end()]), FAIL);
        assert_eq!(of::<R>(5, &[transfer(5), end()]), FAIL);
        assert_eq!(of::<R>(5, &[transfer(5), stream_end(1, 10, 0)]), None);
        assert_eq!(of::<R>(9, &[marker(1, 10, 5, 9)]), None, "the flag was ignored");
    }
}
