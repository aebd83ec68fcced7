use proptest::prelude::*;

use super::super::Config;
use super::peer::Peer;
use super::peer::still;
use crate::Timestamp;
use crate::wire::Opcode;

/// A frame that is framed rightly, and else anything: real opcodes are favoured.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        3 => 0x50_u8..0x68,
        1 => prop_oneof![Just(0x00_u8), Just(0x01), Just(0x04), Just(0x10), Just(0x1f), Just(0x21), Just(0x22), Just(0x48), Just(0xbb)],
        1 => any::<u8>(),
    ];
    let magic = prop_oneof![6 => Just(0x80_u8), 2 => Just(0x08), 3 => Just(0x81), 1 => Just(0x18), 1 => Just(0x83)];
    let small = |len| prop::collection::vec(prop_oneof![2 => Just(0_u8), 1 => any::<u8>()], 0..len);
    let extras = prop_oneof![Just(0_usize), Just(4), Just(8), Just(48), 0_usize..60];
    (magic, opcode, extras, small(12), small(40), 0_u16..6, any::<[u8; 4]>()).prop_flat_map(
        move |(magic, opcode, extras, key, value, vbucket, opaque)| {
            small(61).prop_map(move |mut bytes| {
                bytes.resize(extras, 0);
                let body = extras + key.len() + value.len();
                let mut frame = vec![magic, opcode, 0, key.len() as u8, extras as u8, 0];
                frame.extend(vbucket.to_be_bytes());
                frame.extend((body as u32).to_be_bytes());
                frame.extend(opaque);
                frame.extend([0; 8]);
                frame.extend(&bytes);
                frame.extend(&key);
                frame.extend(&value);
                frame
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_a_peer_says_makes_it_panic(frames in prop::collection::vec((frame(), 0_u64..400), 1..40)) {
        let mut peer = Peer::with_everything(&still(Config { items: 200, ..Config::default() }));
        peer.stream(0);
        for (frame, ms) in frames {
            peer.ms += ms;
            let now = peer.now();
            peer.connection.feed(&frame, now);
            let mut out = Vec::new();
            peer.connection.pull(&mut out, 2000, now);
            prop_assert!(out.len() < 1_000_000);
            let due = peer.connection.next_wakeup(now);
            prop_assert!(due.is_none_or(|due| due > Timestamp(0)));
        }
    }
}

#[test]
fn huge_numbers_of_items_do_no_harm() {
    let node = still(Config { items: u64::MAX, disk_items: 0, ..Config::default() });
    let mut peer = Peer::with_everything(&node);
    peer.stream(0);
    let mut out = Vec::new();
    let now = peer.now();
    peer.connection.pull(&mut out, 100_000, now);
    assert!(out.len() >= 100_000);
    let mut peer = Peer::in_bucket(&node, &[]);
    peer.says(crate::wire::FrameBuilder::request(Opcode::GET_ALL_VB_SEQNOS));
    assert_eq!(peer.reads(1).len(), 1);
}
