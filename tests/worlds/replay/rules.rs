//! The rules of replaying, one by one, with a live end that a test plays by hand.

use std::sync::Arc;
use std::time::Duration;

use dcproxy::Timestamp;
use dcproxy::dcp;
use dcproxy::dcp::Control;
use dcproxy::dcp::FailoverEntry;
use dcproxy::dcp::Open;
use dcproxy::dcp::StreamReq;
use dcproxy::dcp::StreamReqResponse;
use dcproxy::journal::Role;
use dcproxy::node::Config;
use dcproxy::node::Connection;
use dcproxy::node::Node;
use dcproxy::replay::Options;
use dcproxy::replay::Player;
use dcproxy::replay::Recording;
use dcproxy::replay::Speed;
use dcproxy::verdict::Finding;
use dcproxy::verdict::Verdict;
use dcproxy::wire::Deframer;
use dcproxy::wire::Frame;
use dcproxy::wire::FrameBuilder;
use dcproxy::wire::Opaque;
use dcproxy::wire::Opcode;
use dcproxy::wire::Piece;
use dcproxy::wire::Status;

use super::world::*;

const CLOSES: &str = "client-answers-0x01.2019-07-after.pcap";
const PLAIN: &str = "bridged-plain.7.0.5-v7on.pcap";

fn options(speed: Speed) -> Options {
    Options { speed, ..Options::default() }
}

/// A player, and what it says.
struct Live {
    player: Player,
    now: Timestamp,
    deframer: Deframer,
}

impl Live {
    fn new(capture: &str, role: Role, options: Options) -> Self {
        let recording: Recording = record(capture, role, None);
        let script = Arc::clone(&recording.scripts[0]);
        let player = Player::new(&recording, script, role, options, START);
        Self { player, now: START, deframer: Deframer::new(1 << 20) }
    }

    fn say(&mut self, frame: &FrameBuilder) -> &mut Self {
        self.player.feed(&frame.build(), self.now);
        self
    }

    /// The frames that the player says, as bytes.
    fn said(&mut self) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let before = bytes.len();
            self.player.pull(&mut bytes, 1 << 16, self.now);
            if bytes.len() == before {
                break;
            }
        }
        let mut frames = Vec::new();
        let mut input: &[u8] = &bytes;
        while let Some(piece) = self.deframer.next(&mut input) {
            let Piece::Frame(frame) = piece else { panic!("frames only") };
            frames.push(frame.bytes().to_vec());
        }
        frames
    }

    fn opcodes(&mut self) -> Vec<Opcode> {
        self.said().iter().map(|frame| header(frame).opcode).collect()
    }

    /// Lets time pass, waking the player whenever it asks for it.
    fn pass(&mut self, time: Duration) -> &mut Self {
        let until = self.now + time;
        while let Some(at) = self.player.next_wakeup().filter(|&at| at <= until) {
            self.now = at.max(self.now + Duration::from_nanos(1));
            self.player.wakeup(self.now);
            if self.player.is_over() {
                break;
            }
        }
        self.now = self.now.max(until);
        self
    }

    /// Answers all that the player asks with success, until it asks for a stream; its last frames are returned.
    fn set_up(&mut self) -> Vec<Vec<u8>> {
        loop {
            let said = self.said();
            assert!(!said.is_empty(), "it asks for nothing more: {:#?}", self.player.findings(true));
            if said.iter().any(|frame| header(frame).opcode == Opcode::DCP_STREAM_REQ) {
                return said;
            }
            for frame in said {
                let asked = header(&frame);
                self.say(&dcp::response(asked.opcode, Status::SUCCESS, asked.opaque));
            }
        }
    }

    fn completed(&self) -> Finding {
        let findings = self.player.findings(false);
        findings.into_iter().find(|finding| finding.id == "replay-completed").expect("it always says so")
    }

    fn differences(&self) -> Vec<String> {
        let findings = self.player.findings(true).into_iter();
        let wrong = findings.filter(|finding| finding.verdict == Verdict::Fail);
        wrong.map(|finding| format!("{}: {} | {}", finding.id, finding.expected, finding.actual)).collect()
    }
}

fn header(frame: &[u8]) -> dcproxy::wire::Header {
    *Frame::whole(frame).expect("a frame").header()
}

fn log(uuid: u64) -> StreamReqResponse {
    StreamReqResponse::FailoverLog(vec![FailoverEntry { vb_uuid: uuid, seqno: 0 }])
}

#[test]
fn each_request_waits_for_the_answer_that_the_recorded_one_had_waited_for() {
    let mut live = Live::new(CLOSES, Role::Consumer, options(Speed::Max));
    let said = live.said();
    assert_eq!(
        said.iter().map(|frame| header(frame).opcode).collect::<Vec<_>>(),
        [Opcode::HELLO],
        "no login is wanted"
    );
    assert_eq!(live.opcodes(), [], "it was not answered");
    let opaque = header(&said[0]).opaque;
    live.say(&dcp::response(Opcode::HELLO, Status::SUCCESS, Opaque([9; 4])));
    assert_eq!(live.opcodes(), [], "that answers another");
    live.say(&dcp::response(Opcode::HELLO, Status::SUCCESS, opaque));
    assert_eq!(live.opcodes(), [Opcode::SELECT_BUCKET]);
}

#[test]
fn a_live_end_that_does_not_answer_ends_the_replay_with_the_frame_that_it_waits_at() {
    let mut live = Live::new(CLOSES, Role::Consumer, options(Speed::Max));
    live.said();
    live.pass(Duration::from_millis(4_999));
    assert!(!live.player.is_over());
    // No-ops are no reason to wait longer.
    live.say(&FrameBuilder::request(Opcode::DCP_NOOP).opaque(Opaque([1; 4])));
    assert_eq!(live.opcodes(), [Opcode::DCP_NOOP]);
    live.pass(Duration::from_millis(2));
    assert!(live.player.is_over());
    let completed = live.completed();
    assert_eq!(
        (completed.verdict, completed.expected.as_str()),
        (Verdict::Inconclusive, "an answer to frame 3 (HELLO)")
    );
}

#[test]
fn the_recorded_gaps_are_kept_divided_by_the_speed() {
    // Between the last orphaned response and the NOOP after it 500 ms passed in the recording.
    for (speed, took) in [(Speed::Times(1.0), 500), (Speed::Times(10.0), 50)] {
        let mut live = Live::new(CLOSES, Role::Consumer, options(speed));
        play_until_the_noop(&mut live);
        live.pass(Duration::from_millis(took - 5));
        assert!(!live.opcodes().contains(&Opcode::NOOP), "{speed}");
        live.pass(Duration::from_millis(10));
        assert!(live.opcodes().contains(&Opcode::NOOP), "{speed}");
    }
}

/// Sets up a stream that ends after its close, so that the recorded NOOP is what comes next.
fn play_until_the_noop(live: &mut Live) {
    let mut stream = Opaque([0; 4]);
    let mut closed = false;
    while !closed {
        live.pass(Duration::from_millis(20));
        for frame in live.said() {
            let asked = header(&frame);
            match asked.opcode {
                Opcode::DCP_STREAM_REQ => {
                    stream = asked.opaque;
                    live.say(&log(1).response(asked.opaque));
                    for _ in 0..90 {
                        live.say(
                            &FrameBuilder::request(Opcode::DCP_MUTATION).opaque(stream).extras([0; 31]).key(*b"k"),
                        );
                    }
                }
                Opcode::DCP_CLOSE_STREAM => {
                    live.say(&dcp::response(asked.opcode, Status::SUCCESS, asked.opaque));
                    let end = FrameBuilder::request(Opcode::DCP_STREAM_END).opaque(stream).extras(1_u32.to_be_bytes());
                    live.say(&end);
                    closed = true;
                }
                _ if asked.is_request() => {
                    live.say(&dcp::response(asked.opcode, Status::SUCCESS, asked.opaque));
                }
                _ => {}
            }
        }
    }
    live.pass(Duration::from_millis(1));
    let answers = live.said();
    let statuses: Vec<_> = answers.iter().map(|frame| header(frame).vbucket_or_status).collect();
    assert_eq!(statuses, [Status::KEY_ENOENT.0; 86], "every message from the sixth on, with the stream's end");
    assert!(answers.iter().all(|frame| header(frame).opaque == stream && header(frame).is_response()));
}

#[test]
fn a_difference_in_a_status_is_told_with_the_recorded_frame() {
    let mut live = Live::new(CLOSES, Role::Consumer, options(Speed::Max));
    live.set_up();
    // The recorded producer refused this one alone.
    let expected = "replay-status: Einval, as to frame 19 (DCP_CONTROL enable_sync_writes) | Success";
    assert_eq!(live.differences(), [expected]);
}

#[test]
fn a_live_end_that_closes_early_is_no_completed_replay() {
    let mut live = Live::new(CLOSES, Role::Consumer, options(Speed::Max));
    live.set_up();
    live.player.closed(dcproxy::journal::How::Fin, live.now);
    assert_eq!(live.completed().verdict, Verdict::Inconclusive);
    assert!(live.differences().iter().any(|difference| difference.starts_with("replay-extra")));
}

#[test]
fn it_logs_in_with_the_given_user_by_the_best_mechanism() {
    let config = Config::default();
    for (password, verdict) in [(config.password.as_str(), Verdict::Pass), ("wrong", Verdict::Inconclusive)] {
        let credentials = (config.user.clone(), password.to_owned()).into();
        let options = Options { credentials: Some(credentials), ..options(Speed::Max) };
        let recording = record(CLOSES, Role::Consumer, None);
        let node = Node::new(Config { era: "2019-07".parse().expect("an era"), ..config.clone() });
        let script = Arc::clone(&recording.scripts[0]);
        let mut player = Player::new(&recording, script, Role::Consumer, options, START);
        run(&mut player, &mut Connection::new(&node, START));
        assert_eq!(player.findings(false)[0].verdict, verdict, "{:?}", player.findings(false));
    }
}

#[test]
fn a_replayed_producer_demands_the_given_user() {
    for (password, verdict) in [("right", Verdict::Pass), ("wrong", Verdict::Inconclusive)] {
        let with = |password: &str| Options {
            credentials: Some(("u".to_owned(), password.to_owned()).into()),
            ..options(Speed::Max)
        };
        let (producers, consumers) = (record(PLAIN, Role::Producer, None), record(PLAIN, Role::Consumer, None));
        let mut one = Player::new(&consumers, consumers.scripts[0].clone(), Role::Consumer, with(password), START);
        let mut two = Player::new(&producers, producers.scripts[0].clone(), Role::Producer, with("right"), START);
        run(&mut one, &mut two);
        assert_eq!(one.findings(false)[0].verdict, verdict, "{:?}", one.findings(false));
    }
}

/// A live consumer that has opened DCP at a replayed producer.
fn opened(window: &str) -> Live {
    let mut live = Live::new(PLAIN, Role::Producer, options(Speed::Max));
    let open = Open { name: "live".to_owned(), flags: Open::PRODUCER, ..Open::default() };
    live.say(&open.request(Opaque([1; 4])));
    let control = Control { key: "connection_buffer_size".to_owned(), value: window.to_owned() };
    live.say(&control.request(Opaque([2; 4])));
    assert_eq!(live.opcodes(), [Opcode::DCP_OPEN, Opcode::DCP_CONTROL]);
    live
}

fn request(start_seqno: u64) -> StreamReq {
    StreamReq {
        start_seqno,
        end_seqno: u64::MAX,
        snap_start_seqno: start_seqno,
        snap_end_seqno: start_seqno,
        ..StreamReq::default()
    }
}

#[test]
fn a_replayed_producer_keeps_to_the_live_window() {
    let mut live = opened("500");
    live.say(&request(0).request(0, Opaque([7; 4])));
    let said = live.said();
    let charged: u32 = said.iter().map(|frame| dcp::charge(&header(frame))).sum();
    let last = dcp::charge(&header(&said[said.len() - 1]));
    assert!((500..500 + last).contains(&charged), "{charged}");
    assert_eq!(live.opcodes(), []);
    live.say(&dcp::BufferAck { bytes_to_ack: charged }.request(Opaque([3; 4])));
    assert!(live.said().len() > 2);
    let stream = said.iter().filter(|frame| dcp::charge(&header(frame)) > 0);
    assert!(stream.into_iter().all(|frame| header(frame).opaque == Opaque([7; 4])), "the live stream's opaque");
}

#[test]
fn a_consumer_that_does_not_ask_for_a_recorded_stream_is_told_of() {
    let mut live = opened("0");
    live.pass(Duration::from_secs(6));
    let completed = live.completed();
    assert_eq!(completed.verdict, Verdict::Inconclusive);
    assert!(completed.expected.contains("DCP_STREAM_REQ for vbucket 0"), "{}", completed.expected);
}

#[test]
fn a_consumer_that_goes_on_gets_only_what_lies_beyond() {
    let seqnos = |live: &mut Live| {
        let said = live.said();
        let seqno = |frame: &Vec<u8>| {
            let frame = Frame::whole(frame).expect("a frame");
            let message = dcp::decode(&frame, &dcp::Negotiated { collections: true, ..dcp::Negotiated::default() });
            message.ok().and_then(|message| message.by_seqno())
        };
        said.iter().filter_map(seqno).collect::<Vec<_>>()
    };
    let mut live = opened("0");
    live.say(&request(0).request(0, Opaque([7; 4])));
    let all = seqnos(&mut live);
    let recording = record(PLAIN, Role::Producer, None);
    assert_eq!(recording.scripts.len(), 1);
    let mut live = opened("0");
    // Nothing is known of its uuid, so it has another history, and is to begin anew.
    live.say(&StreamReq { vb_uuid: 99, ..request(40) }.request(0, Opaque([7; 4])));
    let said = live.said();
    assert_eq!(header(&said[0]).status(), Some(Status::ROLLBACK));
    live.say(&request(0).request(0, Opaque([8; 4])));
    assert_eq!(seqnos(&mut live), all);
    let mut live = opened("0");
    live.say(&StreamReq { vb_uuid: uuid(&opened_log()), ..request(40) }.request(0, Opaque([7; 4])));
    assert_eq!(seqnos(&mut live), all.iter().copied().filter(|&seqno| seqno > 40).collect::<Vec<_>>());
}

/// The answer to the stream's request.
fn opened_log() -> Vec<u8> {
    let mut live = opened("0");
    live.say(&request(0).request(0, Opaque([7; 4])));
    live.said().swap_remove(0)
}

fn uuid(answer: &[u8]) -> u64 {
    let value = Frame::whole(answer).expect("a frame").value().expect("whole").to_vec();
    u64::from_be_bytes(value[..8].try_into().expect("a failover log"))
}

#[test]
fn a_connection_whose_consumer_was_dialled_is_left_out() {
    let recording = record(PLAIN, Role::Producer, None);
    let numbers: Vec<u32> = recording.scripts.iter().map(|script| script.number).collect();
    assert_eq!(numbers, [2]);
    assert_eq!(recording.left_out.len(), 1);
    assert!(recording.left_out[0].1.contains("consumer was dialled"), "{:?}", recording.left_out);
}
