use super::*;

fn write(seqno: u64, key: &[u8]) -> Item {
    let mut item = Item::empty();
    item.outline.seqno = seqno;
    item.outline.birth = seqno;
    item.key = key.to_vec();
    item
}

#[test]
fn snapshots_follow_each_other_without_gap_whereever_one_begins() {
    let vbucket = Vbucket::new(3, 1, 10_000, 96);
    let mut ends = Vec::new();
    let mut at = 0;
    while let Some(span) = vbucket.snapshot_behind(at) {
        assert_eq!(span.disk, at < 96);
        for inside in at..span.end {
            assert_eq!(vbucket.snapshot_behind(inside), Some(span), "{inside}");
        }
        ends.push(span.end - at);
        at = span.end;
    }
    assert_eq!(at, 10_000);
    assert!(ends.iter().skip(1).rev().skip(1).all(|size| SIZES.contains(size)), "{ends:?}");
    assert!(ends.len() > 40);
}

#[test]
fn a_write_is_a_snapshot_of_its_own_and_shifts_what_comes_after() {
    let mut vbucket = Vbucket::new(0, 0, 100, 10);
    assert!(vbucket.append(vec![write(101, b"mine")]));
    vbucket.grow(1);
    assert_eq!(vbucket.high(), 133);
    assert_eq!(vbucket.snapshot_behind(100), Some(Span { end: 101, disk: false }));
    assert_eq!(vbucket.snapshot_behind(101), Some(Span { end: 133, disk: false }));
    for seqno in 102..=133 {
        let it = vbucket.outline(seqno);
        assert_eq!(it.seqno, seqno);
        if let Kind::Commit { prepared, .. } | Kind::Abort { prepared } = it.kind {
            let prepare = vbucket.outline(prepared);
            assert!(matches!(prepare.kind, Kind::Prepare { .. }), "{prepare:?}");
            assert_eq!(prepare.birth, it.birth);
        }
    }
    assert_eq!(vbucket.document(0, b"mine").unwrap().outline.seqno, 101);
}

#[test]
fn the_seqnos_of_a_marker_are_right() {
    let vbucket = Vbucket::new(0, 0, 100, 10);
    assert_eq!(vbucket.high_prepared(32), 29);
    assert_eq!(vbucket.high_completed(32), 29, "the abort of the prepare at 29 is seqno 31");
    assert_eq!(vbucket.high_completed(30), 24);
    assert_eq!(vbucket.max_visible(31), 30, "31 is the abort");
    assert_eq!(vbucket.high_completed(2), 0);
}

#[test]
fn documents_are_found_as_they_are_now() {
    let vbucket = Vbucket::new(0, 0, 100, 10);
    let key = |birth: u64| format!("order-0-{birth}").into_bytes();
    assert!(vbucket.document(0, &key(7)).is_some());
    assert!(vbucket.document(0, &key(2)).is_none(), "deleted at seqno 10");
    assert!(vbucket.document(0, &key(3)).is_none(), "expired at seqno 14");
    assert_eq!(vbucket.document(0, &key(11)).unwrap().outline.seqno, 20, "written again at seqno 20");
    assert_eq!(vbucket.document(0, &key(4)).unwrap().outline.seqno, 8, "committed at seqno 8");
    assert!(vbucket.document(8, &key(12)).is_none(), "aborted");
    assert!(vbucket.document(8, &key(7)).is_none(), "of another collection");
    assert!(vbucket.document(0, b"order-0-9999").is_none());
}

#[test]
fn the_dead_do_not_grow() {
    let mut vbucket = Vbucket::new(0, 0, 100, 10);
    vbucket.grow(2);
    vbucket.die();
    vbucket.grow(9);
    assert_eq!(vbucket.high(), 164);
}
