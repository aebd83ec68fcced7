use crate::dcp::FailoverEntry;
use crate::dcp::StreamReq;

/// The seqno that a stream request must go back to, if any (dcp-protocol.md §3.1). `log` is newest first, `high` and
/// `purge` are the vbucket's seqnos.
pub(super) fn rollback(request: &StreamReq, log: &[FailoverEntry], high: u64, purge: u64) -> Option<u64> {
    let start = request.start_seqno;
    let strict = request.flags & StreamReq::STRICT_VB_UUID != 0 && request.vb_uuid != 0;
    if start == 0 && !strict {
        return None;
    }
    let known_purge = request.value.as_ref().and_then(|value| value.purge_seqno);
    let ignores_purge = request.flags & StreamReq::IGNORE_PURGED_TOMBSTONES != 0;
    if start > 0 && start < purge && known_purge != Some(purge) && !ignores_purge {
        return Some(0);
    }
    let Some(at) = log.iter().position(|entry| entry.vb_uuid == request.vb_uuid) else { return Some(0) };
    let upper = match at.checked_sub(1).and_then(|newer| log.get(newer)) {
        Some(newer) => newer.seqno,
        None => high,
    };
    let (mut snap_start, mut snap_end) = (request.snap_start_seqno, request.snap_end_seqno);
    if start == snap_start {
        snap_end = start;
    }
    if snap_end <= upper {
        return None;
    }
    if start == snap_end {
        snap_start = start;
    }
    Some(upper.min(snap_start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: [FailoverEntry; 3] = [
        FailoverEntry { vb_uuid: 3, seqno: 200 },
        FailoverEntry { vb_uuid: 2, seqno: 100 },
        FailoverEntry { vb_uuid: 1, seqno: 0 },
    ];

    fn request(vb_uuid: u64, start_seqno: u64, snap_start_seqno: u64, snap_end_seqno: u64) -> StreamReq {
        StreamReq { vb_uuid, start_seqno, snap_start_seqno, snap_end_seqno, ..StreamReq::default() }
    }

    #[test]
    fn the_decision_table() {
        for (uuid, start, snap_start, snap_end, expected) in [
            (0, 0, 0, 0, None),
            (9, 0, 0, 0, None),
            (9, 50, 50, 50, Some(0)),
            (0, 50, 50, 50, Some(0)),
            (3, 250, 250, 250, None),
            (3, 250, 240, 260, None),
            (3, 300, 300, 300, None),
            (3, 301, 301, 301, Some(300)),
            (3, 290, 280, 310, Some(280)),
            (3, 310, 305, 310, Some(300)),
            (2, 150, 150, 150, None),
            (2, 150, 150, 900, None),
            (2, 150, 140, 200, None),
            (2, 150, 140, 201, Some(140)),
            (2, 250, 250, 250, Some(200)),
            (2, 250, 240, 250, Some(200)),
            (1, 99, 99, 99, None),
            (1, 100, 90, 100, None),
            (1, 101, 90, 110, Some(90)),
            (1, 150, 150, 150, Some(100)),
        ] {
            let found = rollback(&request(uuid, start, snap_start, snap_end), &LOG, 300, 0);
            assert_eq!(found, expected, "uuid {uuid} start {start} snapshot {snap_start}-{snap_end}");
        }
    }

    #[test]
    fn strict_checks_the_uuid_at_zero_too() {
        let strict = |uuid| StreamReq { flags: StreamReq::STRICT_VB_UUID, ..request(uuid, 0, 0, 0) };
        assert_eq!(rollback(&strict(9), &LOG, 300, 0), Some(0));
        assert_eq!(rollback(&strict(3), &LOG, 300, 0), None);
        assert_eq!(rollback(&strict(0), &LOG, 300, 0), None);
    }

    #[test]
    fn what_was_purged_is_not_resumed() {
        let mut wanted = request(3, 250, 250, 250);
        assert_eq!(rollback(&wanted, &LOG, 300, 260), Some(0));
        assert_eq!(rollback(&wanted, &LOG, 300, 250), None);
        wanted.flags = StreamReq::IGNORE_PURGED_TOMBSTONES;
        assert_eq!(rollback(&wanted, &LOG, 300, 260), None);
        wanted.flags = 0;
        wanted.value = Some(Box::new(crate::dcp::StreamReqValue { purge_seqno: Some(260), ..Default::default() }));
        assert_eq!(rollback(&wanted, &LOG, 300, 260), None);
    }
}
