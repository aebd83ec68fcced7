use super::*;
use crate::dcp::*;
use crate::era::Era;
use crate::era::Situation;
use crate::era::consumer_answer;

/// A consumer and what it has said, as (opcode, status or vbucket, opaque, extras).
struct Rig {
    consumer: PassiveStreams,
    charged: u64,
}

type Said = (Opcode, u16, Opaque, Vec<u8>);

const NOW: Timestamp = Timestamp(1_000_000_000);
const OLD: Opaque = Opaque([9, 9, 9, 9]);
const ADD: Opaque = Opaque([0, 0, 0, 0xad]);

impl Rig {
    fn new(config: PassiveConfig) -> Self {
        let mut rig = Self { consumer: PassiveStreams::new(config, NOW), charged: 0 };
        rig.accept_controls(|_| true);
        rig
    }

    fn era(era: Era, v7: bool) -> Self {
        Self::new(PassiveConfig { v7, ..PassiveConfig::new(era, 4) })
    }

    fn accept_controls(&mut self, accept: impl Fn(&str) -> bool) {
        let mut pending = Vec::new();
        while let Some(output) = self.consumer.poll() {
            if let Output::Write(bytes) = output {
                let frame = Frame::whole(&bytes).unwrap();
                let status =
                    if accept(std::str::from_utf8(frame.key()).unwrap()) { Status::SUCCESS } else { Status::EINVAL };
                pending.push(response(frame.header().opcode, status, frame.header().opaque));
            }
        }
        for answer in pending {
            self.tell(&answer);
        }
        assert_eq!(self.said(), []);
    }

    fn tell(&mut self, frame: &FrameBuilder) {
        let bytes = frame.build();
        self.charged += u64::from(charge(Frame::whole(&bytes).unwrap().header()));
        self.consumer.feed(&bytes, NOW);
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.consumer.poll()).filter(|output| !matches!(output, Output::Wait(_))).collect()
    }

    fn said(&mut self) -> Vec<Said> {
        self.outputs()
            .into_iter()
            .map(|output| match &output {
                Output::Write(bytes) => {
                    let frame = Frame::whole(bytes).unwrap();
                    let header = frame.header();
                    (header.opcode, header.vbucket_or_status, header.opaque, frame.extras().to_vec())
                }
                Output::Close | Output::Wait(_) => panic!("expected a frame, found {output:?}"),
            })
            .collect()
    }

    /// What it answers to one message, flow control apart.
    fn answer(&mut self, frame: &FrameBuilder) -> Option<Status> {
        self.tell(frame);
        let sent = Frame::whole(&frame.build()).unwrap().header().opaque;
        let mut said = self.said();
        said.retain(|(opcode, ..)| *opcode != Opcode::DCP_BUFFER_ACK);
        let first = said.pop()?;
        assert_eq!((said.len(), first.2), (0, sent));
        Some(Status(first.1))
    }

    /// Adds a stream for the vbucket up to the producer's Success; its opaque.
    fn add(&mut self, vbucket: u16) -> Opaque {
        let opaque = self.ask(vbucket);
        self.tell(&success(opaque, &[FailoverEntry { vb_uuid: 77, seqno: 0 }]));
        assert_eq!(self.said().len(), 1);
        opaque
    }

    fn ask(&mut self, vbucket: u16) -> Opaque {
        self.tell(&AddStream { flags: 0 }.request(vbucket, ADD));
        let said = self.said();
        assert_eq!((said.len(), said[0].0, said[0].1), (1, Opcode::DCP_STREAM_REQ, vbucket));
        said[0].2
    }

    fn acked(&mut self) -> u64 {
        self.consumer.acknowledge_all(NOW);
        let said = self.said();
        assert!(said.iter().all(|(opcode, ..)| *opcode == Opcode::DCP_BUFFER_ACK));
        said.iter().map(|(_, _, _, extras)| u64::from(u32::from_be_bytes(extras[..].try_into().unwrap()))).sum()
    }
}

fn success(opaque: Opaque, log: &[FailoverEntry]) -> FrameBuilder {
    let value: Vec<u8> = log.iter().flat_map(|e| [e.vb_uuid.to_be_bytes(), e.seqno.to_be_bytes()].concat()).collect();
    response(Opcode::DCP_STREAM_REQ, Status::SUCCESS, opaque).value(value)
}

fn marker(start_seqno: u64, end_seqno: u64, flags: u32, opaque: Opaque) -> FrameBuilder {
    SnapshotMarker { start_seqno, end_seqno, flags, ..SnapshotMarker::default() }.request(1, opaque)
}

fn mutation(by_seqno: u64, opaque: Opaque) -> FrameBuilder {
    Mutation { by_seqno, rev_seqno: 1, ..Mutation::default() }.request(1, opaque).key(*b"\0key").value(*b"v").cas(5)
}

fn prepare(by_seqno: u64, key: &[u8], opaque: Opaque) -> FrameBuilder {
    Prepare { by_seqno, rev_seqno: 1, durability_level: 1, ..Prepare::default() }.request(1, opaque).key(key).cas(5)
}

fn deletion(by_seqno: u64, version: u8, opaque: Opaque) -> FrameBuilder {
    let (delete_time, nmeta, unused) = if version == 2 { (Some(0), None, Some(0)) } else { (None, Some(0), None) };
    let deletion = Deletion { version, by_seqno, rev_seqno: 1, delete_time, nmeta, unused };
    deletion.request(1, opaque).key(*b"\0key").cas(5)
}

fn commit(prepared_seqno: u64, commit_seqno: u64, opaque: Opaque) -> FrameBuilder {
    Commit { prepared_seqno, commit_seqno }.request(1, opaque).key(*b"\0key")
}

fn abort(prepared_seqno: u64, abort_seqno: u64, opaque: Opaque) -> FrameBuilder {
    Abort { prepared_seqno, abort_seqno }.request(1, opaque).key(*b"\0key")
}

fn system_event(by_seqno: u64, collection_id: u32, opaque: Opaque) -> FrameBuilder {
    let body =
        SystemEventBody::Collection(CollectionEvent { manifest_uid: 1, collection_id, ..CollectionEvent::default() });
    SystemEvent { by_seqno, event: SystemEvent::BEGIN_COLLECTION, version: 0, body }.request(b"name", 1, opaque)
}

fn stream_end(opaque: Opaque) -> FrameBuilder {
    StreamEnd { end_reason: StreamEnd::CLOSED }.request(1, opaque)
}

/// One of each message of a stream, good ones with seqnos from `seqno` on.
fn every_message(seqno: u64, opaque: Opaque) -> Vec<FrameBuilder> {
    vec![
        marker(seqno, seqno + 99, SnapshotMarker::MEMORY | SnapshotMarker::ACK, opaque),
        mutation(seqno, opaque),
        deletion(seqno + 1, 2, opaque),
        Expiration { by_seqno: seqno + 2, rev_seqno: 1, delete_time: 7 }.request(1, opaque).key(*b"\0key").cas(5),
        prepare(seqno + 3, b"\0key", opaque),
        commit(seqno + 3, seqno + 4, opaque),
        prepare(seqno + 5, b"\0key", opaque),
        abort(seqno + 5, seqno + 6, opaque),
        system_event(seqno + 7, 8, opaque),
        SetVbucketState { state: SetVbucketState::PENDING }.request(1, opaque),
        stream_end(opaque),
    ]
}

#[test]
fn it_negotiates_as_real_consumers_do() {
    let keys = |era| {
        let mut consumer = PassiveStreams::new(PassiveConfig::new(era, 4), NOW);
        let mut keys = Vec::new();
        while let Some(output) = consumer.poll() {
            if let Output::Write(bytes) = output {
                let frame = Frame::whole(&bytes).unwrap();
                keys.push(match frame.header().opcode {
                    Opcode::GET_ERROR_MAP => "GET_ERROR_MAP".to_owned(),
                    _ => String::from_utf8(frame.key().to_vec()).unwrap(),
                });
            }
        }
        keys
    };
    // real-servers.md §5, in its order.
    assert_eq!(
        keys(Era::V7_0),
        [
            "connection_buffer_size",
            "GET_ERROR_MAP",
            "enable_noop",
            "set_noop_interval",
            "set_priority",
            "supports_cursor_dropping_vulcan",
            "supports_hifi_MFU",
            "send_stream_end_on_client_close_stream",
            "enable_expiry_opcode",
            "enable_sync_writes",
            "consumer_name",
            "include_deleted_user_xattrs",
            "v7_dcp_status_codes",
        ]
    );
    assert!(keys(Era::V2019_07).contains(&"enable_synchronous_replication".to_owned()));
    assert!(!keys(Era::V6_5).contains(&"include_deleted_user_xattrs".to_owned()));
    assert!(!keys(Era::Master).contains(&"GET_ERROR_MAP".to_owned()));
}

#[test]
fn a_stream_is_added_once_the_producer_has_answered() {
    let mut rig = Rig::era(Era::V7_0, true);
    rig.tell(&AddStream { flags: 1 }.request(1, ADD));
    let said = rig.said();
    let (opcode, vbucket, opaque, extras) = &said[0];
    assert_eq!((said.len(), *opcode, *vbucket), (1, Opcode::DCP_STREAM_REQ, 1));
    assert_eq!(extras[..16], [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(extras[16..24], [0xff; 8], "no end");
    rig.tell(&success(*opaque, &[FailoverEntry { vb_uuid: 77, seqno: 0 }]));
    let Opaque([a, b, c, d]) = *opaque;
    assert_eq!(rig.said(), [(Opcode::DCP_ADD_STREAM, 0, ADD, vec![d, c, b, a])]);
    assert_eq!(rig.answer(&AddStream { flags: 0 }.request(1, ADD)), Some(Status::KEY_EEXISTS));
    assert_eq!(rig.answer(&AddStream { flags: 0 }.request(7, ADD)), Some(Status::NOT_MY_VBUCKET));
    rig.consumer.set_vbucket(2, VbucketState::Dead);
    assert_eq!(rig.answer(&AddStream { flags: 0 }.request(2, ADD)), Some(Status::NOT_MY_VBUCKET));
}

#[test]
fn a_rollback_is_done_and_asked_again_under_the_same_opaque() {
    let mut rig = Rig::era(Era::V7_0, true);
    let first = rig.add(1);
    rig.tell(&marker(0, 10, SnapshotMarker::MEMORY, first));
    for seqno in 1..=8 {
        rig.tell(&mutation(seqno, first));
    }
    rig.tell(&stream_end(first));
    let second = rig.ask(1);
    assert_ne!(first, second);
    rig.tell(&response(Opcode::DCP_STREAM_REQ, Status::ROLLBACK, second).value(5_u64.to_be_bytes()));
    let said = rig.said();
    assert_eq!((said.len(), said[0].0, said[0].2), (1, Opcode::DCP_STREAM_REQ, second));
    let at = |from: usize| u64::from_be_bytes(said[0].3[from..from + 8].try_into().unwrap());
    assert_eq!([at(8), at(24), at(32), at(40)], [5, 77, 5, 5], "start, uuid, snapshot start and end");
    assert_eq!(rig.consumer.ledger().vbucket(1).unwrap().items(), 5);
    rig.tell(&response(Opcode::DCP_STREAM_REQ, Status::ROLLBACK, second).value(*b"short"));
    assert_eq!(rig.outputs(), [Output::Close], "a rollback of another length than 8");
}

#[test]
fn it_resumes_inside_the_snapshot_that_it_was_in() {
    let mut rig = Rig::era(Era::V7_0, true);
    let first = rig.add(1);
    rig.tell(&marker(0, 10, SnapshotMarker::MEMORY, first));
    rig.tell(&mutation(4, first));
    rig.tell(&stream_end(first));
    rig.tell(&AddStream { flags: 0 }.request(1, ADD));
    let said = rig.said();
    let at = |from: usize| u64::from_be_bytes(said[0].3[from..from + 8].try_into().unwrap());
    assert_eq!([at(8), at(24), at(32), at(40)], [4, 77, 0, 10]);
}

#[test]
fn a_refused_stream_is_dead_and_swallows() {
    let mut rig = Rig::era(Era::V6_5, false);
    let opaque = rig.ask(1);
    rig.tell(&response(Opcode::DCP_STREAM_REQ, Status::NOT_MY_VBUCKET, opaque));
    assert_eq!(rig.said()[0].1, Status::NOT_MY_VBUCKET.0);
    assert_eq!(rig.answer(&mutation(1, opaque)), None);
    assert_eq!(rig.answer(&mutation(1, OLD)), Some(Status::KEY_EEXISTS), "the opaque is looked at first");
    let mut old = Rig::era(Era::V6_0, false);
    let opaque = old.ask(1);
    old.tell(&response(Opcode::DCP_STREAM_REQ, Status::NOT_MY_VBUCKET, opaque));
    old.said();
    assert_eq!(old.answer(&mutation(1, opaque)), Some(Status::KEY_ENOENT));
}

#[test]
fn an_answer_without_a_stream_closes_the_connection() {
    for lose in [PassiveStreams::fail_over, PassiveStreams::delete_vbucket] {
        let mut rig = Rig::era(Era::V7_0, true);
        let opaque = rig.ask(1);
        lose(&mut rig.consumer, 1);
        rig.tell(&success(opaque, &[FailoverEntry::default()]));
        assert_eq!(rig.outputs(), [Output::Close]);
        rig.tell(&mutation(1, opaque));
        assert_eq!(rig.outputs(), [], "nothing more is said");
    }
    let mut rig = Rig::era(Era::V6_5, false);
    rig.tell(&success(OLD, &[FailoverEntry::default()]));
    assert_eq!(rig.outputs(), [Output::Close]);
    let mut closed = Rig::era(Era::V6_5, false);
    let opaque = closed.ask(1);
    assert_eq!(closed.answer(&CloseStream.request(1, OLD)), Some(Status::SUCCESS));
    closed.tell(&success(opaque, &[FailoverEntry::default()]));
    assert_eq!(closed.outputs(), [], "kept since 6.5: taken, and ADD_STREAM is never answered");
}

#[test]
fn responses_that_nobody_asked_for() {
    for (opcode, era, closes) in [
        (Opcode::DCP_BUFFER_ACK, Era::V7_0, false),
        (Opcode::DCP_CONTROL, Era::V7_0, false),
        (Opcode::GET_ERROR_MAP, Era::V7_0, false),
        (Opcode::GET_ERROR_MAP, Era::Master, true),
        (Opcode::DCP_SEQNO_ACK, Era::V6_5, true),
        (Opcode::DCP_SEQNO_ACK, Era::V7_0, false),
        (Opcode::DCP_MUTATION, Era::V7_0, true),
    ] {
        let mut rig = Rig::era(era, false);
        rig.tell(&response(opcode, Status::NOT_MY_VBUCKET, OLD));
        assert_eq!(rig.outputs(), if closes { vec![Output::Close] } else { vec![] }, "{opcode} {era}");
    }
}

/// Every message in every situation in every era says what the table of the era says, and every byte is given back.
#[test]
fn lost_streams_are_answered_as_the_era_answers() {
    for era in Era::ALL {
        for v7 in [false, true] {
            for situation in [Situation::NoStream, Situation::OtherOpaque, Situation::DeadStream] {
                for (index, _) in every_message(1, OLD).iter().enumerate() {
                    let mut rig = Rig::era(era, v7);
                    rig.consumer.config.collections = true;
                    let opaque = match situation {
                        Situation::NoStream => OLD,
                        Situation::OtherOpaque => {
                            rig.add(1);
                            OLD
                        }
                        Situation::DeadStream => {
                            let opaque = rig.ask(1);
                            rig.tell(&response(Opcode::DCP_STREAM_REQ, Status::ERANGE, opaque));
                            rig.said();
                            opaque
                        }
                    };
                    let message = &every_message(1, opaque)[index];
                    let opcode = Frame::whole(&message.build()).unwrap().header().opcode;
                    let expected = consumer_answer(era, v7, situation, opcode);
                    assert_eq!(rig.answer(message), expected, "{era} v7 {v7} {situation:?} {opcode}");
                    assert_eq!(rig.acked(), rig.charged, "{era} v7 {v7} {situation:?} {opcode}");
                }
            }
        }
    }
}

#[test]
fn a_live_stream_is_answered_only_where_it_must() {
    let mut rig = Rig::era(Era::V7_0, true);
    let opaque = rig.add(1);
    for message in every_message(1, opaque) {
        let opcode = Frame::whole(&message.build()).unwrap().header().opcode;
        let expected = (opcode == Opcode::DCP_SET_VBUCKET_STATE).then_some(Status::SUCCESS);
        assert_eq!(rig.answer(&message), expected, "{opcode}");
    }
    assert_eq!(rig.answer(&stream_end(opaque)), Some(Status::DCP_STREAM_NOT_FOUND), "it is gone");
    assert_eq!(rig.acked(), rig.charged);
    assert_eq!(rig.consumer.ledger().items(), 8);
    assert_eq!(rig.answer(&DcpNoop.request(OLD)), Some(Status::SUCCESS));
}

#[test]
fn closed_streams_are_kept_since_6_5() {
    let mut rig = Rig::era(Era::V6_5, false);
    let opaque = rig.add(1);
    assert_eq!(rig.answer(&CloseStream.request(1, OLD)), Some(Status::SUCCESS));
    for message in every_message(1, opaque) {
        assert_eq!(rig.answer(&message), None, "swallowed, also an Ack marker and a vbucket state");
    }
    assert_eq!(rig.answer(&mutation(1, opaque)), Some(Status::KEY_ENOENT), "STREAM_END has removed it");
    assert_eq!(rig.answer(&CloseStream.request(1, OLD)), Some(Status::KEY_ENOENT));
    assert_eq!(rig.acked(), rig.charged);

    let mut old = Rig::era(Era::V6_0, false);
    let opaque = old.add(1);
    assert_eq!(old.answer(&CloseStream.request(1, OLD)), Some(Status::SUCCESS));
    assert_eq!(old.answer(&mutation(1, opaque)), Some(Status::KEY_ENOENT));
    assert_eq!(old.answer(&CloseStream.request(1, OLD)), Some(Status::KEY_ENOENT));
}

#[test]
fn frames_of_the_stream_before_have_another_opaque() {
    for (era, mutation_status, deletion_status) in
        [(Era::V2019_07, 0x01, 0x01), (Era::V6_5, 0x02, 0x01), (Era::V7_0, 0x0b, 0x0b)]
    {
        let mut rig = Rig::era(era, true);
        let first = rig.add(1);
        assert_eq!(rig.answer(&CloseStream.request(1, OLD)), Some(Status::SUCCESS));
        rig.add(1);
        assert_eq!(rig.answer(&mutation(1, first)), Some(Status(mutation_status)), "{era}");
        assert_eq!(rig.answer(&deletion(1, 2, first)), Some(Status(deletion_status)), "{era}");
        assert_eq!(rig.answer(&stream_end(first)), None, "{era}");
    }
}

#[test]
fn a_failed_over_vbucket_has_no_stream() {
    let mut rig = Rig::era(Era::V6_5, false);
    let opaque = rig.add(1);
    rig.consumer.fail_over(1);
    assert_eq!(rig.consumer.vbucket_state(1), Some(VbucketState::Active));
    for message in every_message(1, opaque) {
        assert_eq!(rig.answer(&message), Some(Status::KEY_ENOENT));
    }
    assert_eq!(rig.acked(), rig.charged);
}

#[test]
fn a_manager_changes_vbuckets_on_the_connection_of_their_streams() {
    let mut rig = Rig::era(Era::V7_0, true);
    let opaque = rig.add(1);
    let set = |state| SetVbucket { state }.request(1, ADD);
    let told = |opcode| FrameBuilder::request(opcode).vbucket(1).opaque(ADD);
    assert_eq!(rig.answer(&set(SetVbucketState::PENDING)), Some(Status::SUCCESS));
    assert_eq!(rig.answer(&told(Opcode::GET_VBUCKET)), Some(Status::SUCCESS));
    assert_eq!(rig.answer(&set(9)), Some(Status::EINVAL));
    assert_eq!(rig.consumer.vbucket_state(1), Some(VbucketState::Pending));
    rig.tell(&marker(0, 50, SnapshotMarker::MEMORY, opaque));
    assert_eq!(rig.answer(&mutation(1, opaque)), None, "it still has its stream");
    assert_eq!(rig.answer(&set(SetVbucketState::ACTIVE)), Some(Status::SUCCESS));
    assert_eq!(rig.answer(&mutation(2, opaque)), Some(Status::DCP_STREAM_NOT_FOUND));
    assert_eq!(rig.answer(&told(Opcode::DEL_VBUCKET)), Some(Status::SUCCESS));
    for opcode in [Opcode::GET_VBUCKET, Opcode::DEL_VBUCKET] {
        assert_eq!(rig.answer(&told(opcode)), Some(Status::NOT_MY_VBUCKET));
    }
    assert_eq!(rig.answer(&set(SetVbucketState::REPLICA)), Some(Status::SUCCESS), "it is made anew");
    rig.add(1);
}

#[test]
fn a_dead_vbucket_keeps_its_stream_and_refuses_documents() {
    let mut rig = Rig::era(Era::V7_0, true);
    let opaque = rig.add(1);
    rig.tell(&marker(0, 50, SnapshotMarker::MEMORY, opaque));
    rig.tell(&prepare(1, b"\0key", opaque));
    rig.said();
    rig.consumer.set_vbucket(1, VbucketState::Dead);
    assert_eq!(rig.answer(&mutation(2, opaque)), Some(Status::NOT_MY_VBUCKET));
    assert_eq!(rig.answer(&deletion(3, 2, opaque)), Some(Status::NOT_MY_VBUCKET));
    assert_eq!(rig.answer(&prepare(4, b"\0other", opaque)), Some(Status::NOT_MY_VBUCKET));
    assert_eq!(rig.answer(&system_event(5, 8, opaque)), None);
    assert_eq!(rig.answer(&commit(1, 6, opaque)), None);
    assert_eq!(rig.answer(&marker(51, 60, SnapshotMarker::MEMORY, opaque)), None);
    let pending = SetVbucketState { state: SetVbucketState::PENDING }.request(1, opaque);
    assert_eq!(rig.answer(&pending), Some(Status::SUCCESS));
    assert_eq!(rig.answer(&mutation(51, opaque)), None);
}

#[test]
fn seqnos_that_do_not_fit_are_out_of_range() {
    let mut rig = Rig::era(Era::V7_0, true);
    let opaque = rig.add(1);
    assert_eq!(rig.answer(&mutation(1, opaque)), Some(Status::ERANGE), "no marker yet");
    rig.tell(&marker(2, 10, SnapshotMarker::MEMORY, opaque));
    assert_eq!(rig.answer(&mutation(2, opaque)), None);
    assert_eq!(rig.answer(&mutation(2, opaque)), Some(Status::ERANGE), "twice");
    assert_eq!(rig.answer(&system_event(2, 8, opaque)), Some(Status::ERANGE));
    assert_eq!(rig.answer(&mutation(11, opaque)), Some(Status::ERANGE), "beyond the snapshot");
    assert_eq!(rig.answer(&marker(5, 11, 1, opaque)), Some(Status::ERANGE), "behind");
    assert_eq!(rig.answer(&marker(5, 12, 1, opaque)), None);
    assert_eq!(rig.acked(), rig.charged);
}

#[test]
fn what_a_live_stream_cannot_take() {
    let mut rig = Rig::era(Era::V7_0, true);
    let opaque = rig.add(1);
    rig.tell(&marker(0, 100, SnapshotMarker::MEMORY, opaque));
    assert_eq!(rig.answer(&commit(1, 2, opaque)), Some(Status::KEY_ENOENT), "no prepare");
    assert_eq!(rig.answer(&abort(2, 3, opaque)), Some(Status::EINVAL), "no prepare");
    let other = mutation(4, opaque).key(*b"\x08key");
    assert_eq!(rig.answer(&other), Some(Status::UNKNOWN_COLLECTION));
    rig.tell(&system_event(5, 8, opaque));
    assert_eq!(rig.answer(&mutation(6, opaque).key(*b"\x08key")), None, "now it is known");
    assert_eq!(rig.answer(&deletion(7, 1, opaque)), Some(Status::EINVAL), "version 1 with collections");
    assert_eq!(rig.answer(&mutation(0, opaque)), Some(Status::EINVAL));
    assert_eq!(rig.answer(&marker(9, 8, 1, opaque)), Some(Status::EINVAL));
    assert_eq!(rig.answer(&SeqnoAdvanced { by_seqno: 9 }.request(1, opaque)), Some(Status::UNKNOWN_COMMAND));
    rig.tell(&marker(101, 110, SnapshotMarker::DISK, opaque));
    assert_eq!(rig.answer(&abort(2, 101, opaque)), None, "from disk its prepare may be gone");

    let plain = PassiveConfig { collections: false, delete_times: false, ..PassiveConfig::new(Era::V7_0, 4) };
    let mut rig = Rig::new(plain);
    assert_eq!(rig.answer(&deletion(7, 2, OLD)), Some(Status::EINVAL), "before any stream is looked up");
    assert_eq!(rig.answer(&deletion(7, 1, OLD)), Some(Status::DCP_STREAM_NOT_FOUND));
}

#[test]
fn an_ack_marker_is_answered_when_its_end_was_processed() {
    let mut rig = Rig::era(Era::V7_0, true);
    let opaque = rig.add(1);
    assert_eq!(rig.answer(&marker(0, 2, SnapshotMarker::MEMORY | SnapshotMarker::ACK, opaque)), None);
    assert_eq!(rig.answer(&mutation(1, opaque)), None);
    rig.tell(&mutation(2, opaque));
    assert_eq!(rig.said(), [(Opcode::DCP_SNAPSHOT_MARKER, 0, opaque, vec![])]);
}

#[test]
fn prepares_are_acknowledged_at_the_end_of_their_snapshot() {
    let run = |agreed: bool| {
        let mut rig = Rig { consumer: PassiveStreams::new(PassiveConfig::new(Era::V6_5, 4), NOW), charged: 0 };
        rig.accept_controls(|key| key != "enable_sync_writes" || agreed);
        let opaque = rig.add(1);
        rig.tell(&marker(0, 3, SnapshotMarker::MEMORY, opaque));
        rig.tell(&prepare(1, b"\0a", opaque));
        rig.tell(&prepare(2, b"\0b", opaque));
        assert_eq!(rig.said(), []);
        rig.tell(&mutation(3, opaque));
        let said = rig.said();
        rig.tell(&marker(4, 4, SnapshotMarker::MEMORY, opaque));
        rig.tell(&mutation(4, opaque));
        assert_eq!(rig.said(), [], "no new prepare, no new acknowledgement");
        (opaque, said)
    };
    let (opaque, said) = run(true);
    assert_eq!(said, [(Opcode::DCP_SEQNO_ACK, 1, opaque, 2_u64.to_be_bytes().to_vec())]);
    assert_eq!(run(false).1, []);
}

#[test]
fn the_window_is_given_back_by_share_or_by_time() {
    let mut rig = Rig::new(PassiveConfig { window: 550, ..PassiveConfig::new(Era::V7_0, 4) });
    let opaque = rig.add(1);
    rig.tell(&marker(0, 9, 1, opaque));
    rig.tell(&mutation(1, opaque));
    rig.consumer.wakeup(NOW + Duration::from_secs(4));
    assert_eq!(rig.said(), [], "44 + 60 bytes are not more than a fifth, and 4 s not enough");
    rig.consumer.wakeup(NOW + Duration::from_secs(5));
    let said = rig.said();
    assert_eq!((said[0].0, said[0].3.as_slice()), (Opcode::DCP_BUFFER_ACK, &104_u32.to_be_bytes()[..]));
    rig.tell(&mutation(2, opaque));
    rig.tell(&mutation(3, opaque));
    let said = rig.said();
    assert_eq!((said.len(), said[0].3.as_slice()), (1, &120_u32.to_be_bytes()[..]), "more than a fifth");
}

#[test]
fn silence_of_six_minutes_disconnects() {
    let mut rig = Rig::era(Era::V7_0, true);
    rig.consumer.wakeup(NOW + Duration::from_secs(359));
    assert_eq!(rig.outputs(), []);
    rig.consumer.wakeup(NOW + Duration::from_secs(360));
    assert_eq!(rig.outputs(), [Output::Close]);
}

#[test]
fn one_byte_at_a_time_is_the_same() {
    let run = |size: usize| {
        let mut rig = Rig::era(Era::V6_5, false);
        let opaque = rig.add(1);
        let mut bytes = Vec::new();
        for message in every_message(1, opaque).iter().chain(&every_message(1, opaque)) {
            message.write(&mut bytes);
        }
        for chunk in bytes.chunks(size) {
            rig.consumer.feed(chunk, NOW);
        }
        rig.outputs()
    };
    assert_eq!(run(1), run(usize::MAX));
    let mut rig = Rig::era(Era::V6_5, false);
    rig.consumer.feed(b"GET / HTTP/1.1\r\n\r\n", NOW);
    assert_eq!(rig.outputs(), [Output::Close]);
}
