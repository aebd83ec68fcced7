use super::super::document::Author;
use super::*;
use crate::era::Era;
use crate::wire::Frame;
use crate::wire::Opaque;

const TO: Address = Address { vbucket: 7, opaque: Opaque([9, 8, 7, 6]), stream_id: None };

fn item(g: u64) -> Item {
    let mut item = Item::empty();
    item.outline = super::super::data::outline(g);
    let it = item.outline;
    Author { seed: 1, vbucket: 7 }.write(g, &it, &mut item);
    item
}

fn terms(era: Era) -> Terms {
    Terms {
        collections: true,
        snappy: true,
        xattrs: true,
        delete_times: true,
        expiry: true,
        sync_writes: true,
        ..Terms::new(era)
    }
}

fn sent(item: &Item, disk: bool, terms: &Terms, to: &Address) -> (Vec<u8>, u32) {
    let mut out = Vec::new();
    let charge = Sender::new().item(item, disk, terms, to, &mut out);
    (out, charge)
}

#[test]
fn every_kind_is_charged_as_the_rule_says() {
    for g in 1..200 {
        let (bytes, charge) = sent(&item(g), false, &terms(Era::V7_0), &TO);
        let frame = Frame::whole(&bytes).unwrap();
        assert_eq!(bytes.len() as u64, frame.header().frame_len());
        assert_eq!(charge, crate::dcp::charge(frame.header()), "{g}");
    }
}

#[test]
fn commits_are_mutations_on_disk_and_without_sync_writes() {
    let opcode = |disk, terms: &Terms| Frame::whole(&sent(&item(8), disk, terms, &TO).0).unwrap().header().opcode;
    let with = terms(Era::V7_0);
    let without = Terms { sync_writes: false, ..with.clone() };
    assert_eq!(opcode(false, &with), Opcode::DCP_COMMIT);
    assert_eq!(opcode(true, &with), Opcode::DCP_MUTATION);
    assert_eq!(opcode(false, &without), Opcode::DCP_MUTATION);
}

#[test]
fn a_committed_deletion_is_a_deletion_where_commits_are_not_sent() {
    let (bytes, _) = sent(&item(22), true, &terms(Era::V7_0), &TO);
    let frame = Frame::whole(&bytes).unwrap();
    assert_eq!((frame.header().opcode, frame.extras().len()), (Opcode::DCP_DELETION, 21));
    assert_eq!(frame.value(), Some(&b""[..]));
}

#[test]
fn datatypes_go_no_further_than_what_was_agreed() {
    for (snappy, xattrs) in [(false, false), (true, false), (false, true), (true, true)] {
        let terms = Terms { snappy, xattrs, ..terms(Era::V7_0) };
        for g in 1..200 {
            let (bytes, _) = sent(&item(g), false, &terms, &TO);
            let frame = Frame::whole(&bytes).unwrap();
            let datatype = frame.header().datatype;
            assert!(snappy || !datatype.contains(Datatype::SNAPPY), "{g}: {datatype:?}");
            assert!(xattrs || !datatype.contains(Datatype::XATTR), "{g}: {datatype:?}");
            let mut value = frame.value().unwrap().to_vec();
            if datatype.contains(Datatype::SNAPPY) {
                value = snap::raw::Decoder::new().decompress_vec(&value).unwrap();
            }
            if datatype.contains(Datatype::XATTR) {
                let len = u32::from_be_bytes(value[..4].try_into().unwrap()) as usize;
                value.drain(..4 + len);
            }
            if datatype.contains(Datatype::JSON) {
                serde_json::from_slice::<serde_json::Value>(&value).unwrap();
            }
        }
    }
}

#[test]
fn values_are_stripped_on_demand() {
    let sent = |g, values| {
        let (bytes, _) = sent(&item(g), false, &Terms { values, ..terms(Era::V7_0) }, &TO);
        let frame = Frame::whole(&bytes).unwrap();
        (frame.header().datatype.0, frame.value().unwrap().len())
    };
    assert_eq!(sent(7, Values::None), (0, 0));
    assert_eq!(sent(7, Values::NoneButDatatype), (3, 0), "JSON and Snappy of a value that is not there");
    let (datatype, len) = sent(3, Values::None);
    assert_eq!(datatype, 4, "xattrs only");
    assert!(len > 0);
    assert_eq!(sent(3, Values::NoneButDatatype), (5, len));
}

#[test]
fn expirations_need_the_control_and_delete_times() {
    let sent = |terms: Terms| {
        let (bytes, _) = sent(&item(14), false, &terms, &TO);
        let frame = Frame::whole(&bytes).unwrap();
        (frame.header().opcode, frame.extras().len())
    };
    assert_eq!(sent(terms(Era::V7_0)), (Opcode::DCP_EXPIRATION, 20));
    assert_eq!(sent(Terms { expiry: false, ..terms(Era::V7_0) }), (Opcode::DCP_DELETION, 21));
    assert_eq!(sent(Terms { delete_times: false, ..terms(Era::V7_0) }), (Opcode::DCP_DELETION, 18));
}

#[test]
fn delete_times_are_told_from_disk_only() {
    let time = |disk| {
        let (bytes, _) = sent(&item(10), disk, &terms(Era::V7_0), &TO);
        u32::from_be_bytes(Frame::whole(&bytes).unwrap().extras()[16..20].try_into().unwrap())
    };
    assert_eq!(time(false), 0);
    assert!(time(true) > 1_600_000_000);
}

#[test]
fn stream_ids_go_where_they_belong() {
    let to = Address { stream_id: Some(0x147), ..TO };
    let (bytes, charge) = sent(&item(2), false, &terms(Era::V7_0), &to);
    let frame = Frame::whole(&bytes).unwrap();
    assert_eq!(frame.frame_infos().stream_id(), Some(0x147));
    assert_eq!(charge as usize, bytes.len());
    let (bytes, charge) = sent(&item(2), false, &terms(Era::V6_5), &to);
    assert_eq!(charge as usize, bytes.len() - 3, "MB-40277");
    let (bytes, _) = sent(&item(4), false, &terms(Era::V7_0), &to);
    assert_eq!(Frame::whole(&bytes).unwrap().frame_infos().stream_id(), None, "a prepare has none");
}

#[test]
fn markers_are_as_the_vectors_have_them() {
    let to = Address { vbucket: 0x0210, opaque: Opaque([0, 0, 0x12, 0x10]), stream_id: None };
    let mut out = Vec::new();
    let mut marker = SnapshotMarker { start_seqno: 1, end_seqno: 8, flags: 6, ..SnapshotMarker::default() };
    let terms = terms(Era::V7_0);
    let charge = Sender::new().marker(&marker, &terms, &to, &mut out);
    assert_eq!(
        hex::encode(&out),
        "8056000014000210000000140000121000000000000000000000000000000001000000000000000800000006"
    );
    assert_eq!(charge, 44);
    out.clear();
    marker.version = MarkerVersion::V2_0;
    marker.flags = 2;
    marker.max_visible_seqno = Some(8);
    marker.high_completed_seqno = Some(7);
    assert_eq!(Sender::new().marker(&marker, &terms, &to, &mut out), 61);
    assert_eq!(
        hex::encode(&out),
        "80560000010002100000002500001210000000000000000000000000000000000100000000000000080000000200000000000000080000000000000007"
    );
    out.clear();
    marker.version = MarkerVersion::V2_2;
    assert_eq!(Sender::new().marker(&marker, &terms, &to, &mut out), 77);
}
