//! Arbitrary bytes never make decoding, or printing what was decoded, panic.
#![allow(clippy::unwrap_used)] // helpers of tests

use dcproxy::dcp;
use dcproxy::dcp::Negotiated;
use dcproxy::wire::Frame;
use proptest::prelude::*;
use serde_json::Value;

fn negotiated() -> impl Strategy<Value = Negotiated> {
    any::<[bool; 6]>().prop_map(|[collections, snappy, xattr, stream_id, flatbuffers, include_delete_times]| {
        Negotiated { collections, snappy, xattr, stream_id, flatbuffers, include_delete_times }
    })
}

fn touch(bytes: &[u8], negotiated: &Negotiated) {
    let Ok(frame) = Frame::new(bytes) else { return };
    let head = dcp::head(&frame, negotiated, 1);
    assert_eq!(head, dcp::head(&frame, negotiated, 1));
    let _ = (head.expects_answer(), dcp::charge(frame.header()), dcp::frame_members(&frame));
    if let Some(repaired) = dcp::felen0_repaired(&frame, negotiated) {
        let _ = dcp::decode(&Frame::new(&repaired).unwrap(), negotiated);
    }
    match dcp::decode(&frame, negotiated) {
        Ok(message) => {
            let _ = message.by_seqno();
            for values in [false, true] {
                let members = message.members(&frame, negotiated, values);
                serde_json::to_string(&members).unwrap();
            }
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("expected") && text.contains("found"), "{text}");
        }
    }
}

fn valid() -> Vec<Vec<u8>> {
    let all: Value = serde_json::from_str(include_str!("../data/vectors.json")).unwrap();
    ["vectors", "malformed", "unknown"]
        .iter()
        .flat_map(|list| all[list].as_array().unwrap())
        .map(|vector| hex::decode(vector["hex"].as_str().unwrap()).unwrap())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// A header whose lengths fit, and anything behind it.
    #[test]
    fn any_body_of_any_opcode(
        magic in prop::sample::select(vec![0x80_u8, 0x81, 0x08, 0x18, 0x82, 0x83]),
        opcode in prop_oneof![0x50_u8..0x68, any::<u8>()],
        framing in proptest::collection::vec(any::<u8>(), 0..6),
        extras in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            prop::sample::select(vec![1_usize, 4, 8, 13, 16, 18, 20, 21, 31, 48]).prop_map(|len| vec![0; len]),
        ],
        key in proptest::collection::vec(any::<u8>(), 0..8),
        value in proptest::collection::vec(any::<u8>(), 0..120),
        datatype in any::<u8>(),
        status in 0_u16..0x100,
        cas in 0_u64..2,
        cut in 0_usize..200,
        negotiated in negotiated(),
    ) {
        let flex = magic == 0x08 || magic == 0x18;
        let framing = if flex { framing } else { Vec::new() };
        let body = [framing.as_slice(), &extras, &key, &value].concat();
        let mut bytes = vec![magic, opcode];
        bytes.extend(if flex { [framing.len() as u8, key.len() as u8] } else { (key.len() as u16).to_be_bytes() });
        bytes.extend([extras.len() as u8, datatype & 0x0f]);
        bytes.extend(status.to_be_bytes());
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(cas.to_be_bytes());
        bytes.extend(body);
        touch(&bytes, &negotiated);
        bytes.truncate(bytes.len().saturating_sub(cut));
        touch(&bytes, &negotiated);
    }

    /// A vector with some of its bytes changed: deep inside what is checked late.
    #[test]
    fn any_vector_with_changed_bytes(
        index in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        negotiated in negotiated(),
    ) {
        let vectors = valid();
        let mut bytes = vectors[index.index(vectors.len())].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        touch(&bytes, &negotiated);
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), negotiated in negotiated()) {
        touch(&bytes, &negotiated);
    }
}
