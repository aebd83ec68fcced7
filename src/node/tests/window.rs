use super::super::Config;
use super::peer::Peer;
use super::peer::still;
use crate::dcp;
use crate::dcp::StreamReq;
use crate::wire::Opaque;

#[test]
fn the_window_is_overrun_by_one_message_and_never_left_idle() {
    let mut peer = Peer::with_everything(&still(Config { items: 2000, ..Config::default() }));
    peer.control("connection_buffer_size", "1000");
    peer.stream(0);
    peer.stream(1);
    let mut outstanding = 0;
    let mut rounds = 0;
    loop {
        let seen = peer.reads(usize::MAX);
        let charges: Vec<u64> =
            seen.iter().map(|frame| u64::from(dcp::charge(&frame.header))).filter(|&charge| charge > 0).collect();
        if charges.is_empty() {
            break;
        }
        for charge in charges {
            assert!(outstanding < 1000, "a message went although {outstanding} were outstanding");
            outstanding += charge;
        }
        rounds += 1;
        if outstanding < 1000 {
            break;
        }
        peer.gives_back(700);
        outstanding -= 700;
    }
    assert!(rounds > 100);
    assert!(outstanding < 1000, "the vbuckets came to their end first");
}

#[test]
fn answers_and_no_ops_are_not_held_up() {
    let mut peer = Peer::with_everything(&still(Config { items: 2000, ..Config::default() }));
    peer.controls(&[("connection_buffer_size", "100"), ("set_noop_interval", "1")]);
    peer.stream(0);
    peer.reads(usize::MAX);
    assert!(peer.is_alive());
    peer.waits(1000);
    assert_eq!(peer.reads(usize::MAX).len(), 1, "a no-op");
    assert_eq!(peer.control("connection_buffer_size", "0").0, 0);
    assert!(peer.reads(usize::MAX).len() > 500, "the window is off");
}

#[test]
fn a_stream_end_is_charged_and_waits() {
    let mut peer = Peer::with_everything(&still(Config { items: 40, ..Config::default() }));
    let request = StreamReq { end_seqno: 40, ..StreamReq::default() };
    peer.says(request.request(0, Opaque([1; 4])));
    let all = peer.reads(usize::MAX);
    let total: u64 = all.iter().map(|frame| u64::from(dcp::charge(&frame.header))).sum();
    let mut peer = Peer::with_everything(&still(Config { items: 40, ..Config::default() }));
    peer.control("connection_buffer_size", &(total - 28).to_string());
    peer.says(request.request(0, Opaque([1; 4])));
    assert_eq!(peer.reads(usize::MAX).len(), all.len() - 1, "all but the end");
    peer.gives_back(1);
    assert_eq!(peer.reads(usize::MAX).len(), 1);
}

#[test]
fn what_was_not_pulled_was_not_made() {
    let mut peer = Peer::with_everything(&still(Config { items: 1_000_000, ..Config::default() }));
    peer.stream(0);
    let mut bytes = Vec::new();
    let now = peer.now();
    peer.connection.pull(&mut bytes, 10_000, now);
    assert!((10_000..12_000).contains(&bytes.len()), "{}", bytes.len());
}
