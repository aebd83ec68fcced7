//! What gates promise, to the nanosecond and the byte: when each piece leaves, what is left of it, and how it ends; with and
//! without an interceptor, for frames and for bytes that are none.

use std::time::Duration;

use dcproxy::Timestamp;
use dcproxy::engine::{Event, Gate, Output};
use dcproxy::journal::{How, Side};

use super::book::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn latency(of: u64, jitter: u64) -> Gate {
    Gate::Latency { latency: ms(of), jitter: ms(jitter) }
}

/// Both ways of going on: nobody intercepts, and somebody does.
fn both() -> [Playbook; 2] {
    [Playbook::passive(), Playbook::forwarding()]
}

/// An engine that is woken when it wants to be.
#[derive(Debug)]
struct Run {
    play: Playbook,
    wanted: Option<Timestamp>,
    /// What was written to the upstream, each with its time after the beginning.
    writes: Vec<(Duration, Vec<u8>)>,
    closes: Vec<(Duration, Side, How)>,
}

impl Run {
    fn new(mut play: Playbook, gates: &[Gate]) -> Self {
        let gave = play.gates(U, gates);
        let mut run = Self { play, wanted: None, writes: Vec::new(), closes: Vec::new() };
        run.take(gave);
        run
    }

    fn take(&mut self, gave: Gave) {
        let now = self.play.now.since(at(0));
        for output in gave.0 {
            match output {
                Output::Write { to: U, bytes } => self.writes.push((now, bytes.to_vec())),
                Output::Write { .. } => {}
                Output::Close { side, how } => self.closes.push((now, side, how)),
                Output::Wait(wanted) => self.wanted = wanted,
            }
        }
    }

    /// Goes on to a time after the beginning, and wakes the engine whenever it wants that.
    fn until(&mut self, time: Duration) {
        while let Some(wanted) = self.wanted.filter(|wanted| *wanted <= at(0) + time) {
            self.play.now = self.play.now.max(wanted);
            self.play.engine.wakeup(self.play.now);
            self.wanted = None;
            let gave = Gave(std::iter::from_fn(|| self.play.engine.poll()).collect());
            self.take(gave);
        }
        self.play.now = at(0) + time;
    }

    fn says(&mut self, time: Duration, bytes: impl AsRef<[u8]>) {
        self.until(time);
        let gave = self.play.feed(D, bytes);
        self.take(gave);
    }

    fn gates(&mut self, time: Duration, gates: &[Gate]) {
        self.until(time);
        let gave = self.play.gates(U, gates);
        self.take(gave);
    }

    fn bytes(&self) -> Vec<u8> {
        self.writes.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    /// When the byte of that number left.
    fn left(&self, byte: usize) -> Duration {
        let mut seen = 0;
        for (time, bytes) in &self.writes {
            seen += bytes.len();
            if seen > byte {
                return *time;
            }
        }
        panic!("{byte} of {seen} bytes");
    }
}

#[test]
fn under_latency_each_byte_is_exactly_so_late_and_so_is_the_end() {
    for play in both() {
        let mut run = Run::new(play, &[latency(200, 0)]);
        for n in 0..50_u32 {
            run.says(ms(7) * n, set(n, 30));
        }
        run.until(ms(400));
        let gave = run.play.closed(D, How::Fin);
        run.take(gave);
        run.until(ms(10_000));
        let len = set(0, 30).len();
        for n in 0..50 {
            assert_eq!(run.left(n * len), ms(7) * n as u32 + ms(200));
        }
        assert_eq!(run.bytes().len(), 50 * len);
        assert_eq!(run.closes, [(ms(600), U, How::Fin)]);
        let told = run.play.journal().iter().filter(|entry| entry.edge == U).map(|entry| entry.at.since(at(0)));
        let expected: Vec<_> = (0..50).map(|n| ms(7) * n + ms(200)).chain([ms(600)]).collect();
        assert_eq!(told.collect::<Vec<_>>(), expected, "and the journal says so");
    }
}

#[test]
fn jitter_keeps_to_its_bounds_both_ways_and_nothing_overtakes() {
    for play in both() {
        let mut run = Run::new(play, &[latency(200, 50)]);
        let len = set(0, 3).len();
        for n in 0..400_u32 {
            run.says(ms(500) * n, set(n, 3));
        }
        run.until(ms(400_000));
        let mut late: Vec<_> = (0..400).map(|n| run.left(n * len) - ms(500) * n as u32).collect();
        late.sort_unstable();
        assert!(late[0] >= ms(150) && late[0] < ms(152), "{:?}", late[0]);
        assert!(late[399] <= ms(250) && late[399] > ms(248), "{:?}", late[399]);
        assert!((ms(193)..ms(207)).contains(&late[200]), "the median is {:?}", late[200]);
        assert_eq!(frames(&run.bytes()).len(), 400);
        // The same seed draws the same, and in a burst nothing overtakes.
        let mut burst = Run::new(Playbook::passive(), &[latency(200, 50)]);
        (0..400_u32).for_each(|n| burst.says(ms(1) * n, set(n, 3)));
        burst.until(ms(1_000));
        assert!(burst.bytes() == (0..400).flat_map(|n| set(n, 3)).collect::<Vec<_>>());
    }
}

#[test]
fn bandwidth_is_kept_over_ten_seconds_whatever_the_sizes_and_no_burst_goes_beyond_it() {
    for (rate, size) in [(1_000, 0), (100_000, 10), (100_000, 900), (1_000_000, 60_000)] {
        for play in both() {
            let mut run = Run::new(play, &[Gate::Bandwidth { rate }]);
            let (len, mut sent, mut time) = (set(0, size).len() as u64, 0, Duration::ZERO);
            // As much as the link would read.
            while time < ms(10_000) {
                while run.play.engine.held(U) < 256 * 1024 && sent < rate * 11 {
                    run.says(time, set(7, size));
                    sent += len;
                }
                time += ms(5);
                run.until(time);
            }
            let got = run.bytes().len() as f64;
            let expected = rate as f64 * 10.0;
            assert!((got - expected).abs() <= expected * 0.05, "{rate} B/s in frames of {len}: {got}");
            // Of a second, in which no more than its bytes and a piece arrive.
            let second: usize =
                run.writes.iter().filter(|(at, _)| (ms(3_000)..ms(4_000)).contains(at)).map(|(_, b)| b.len()).sum();
            assert!(second as u64 <= rate + rate / 40 + 1, "{rate} B/s: {second} in a second");
            let longest = run.writes.iter().map(|(_, bytes)| bytes.len() as u64).max().unwrap();
            assert!(longest <= (rate / 50).max(1), "{rate} B/s: {longest} at once");
        }
    }
}

#[test]
fn the_first_bytes_under_a_bandwidth_take_their_time_and_an_idle_line_saves_nothing_up() {
    let mut run = Run::new(Playbook::passive(), &[Gate::Bandwidth { rate: 1_000 }]);
    run.says(ms(0), [0x99; 100]);
    run.says(ms(5_000), [0x98; 100]);
    run.until(ms(9_000));
    assert_eq!((run.left(19), run.left(99)), (ms(20), ms(100)));
    assert_eq!((run.left(100), run.left(199)), (ms(5_020), ms(5_100)));
    let mut none = Run::new(Playbook::passive(), &[Gate::Bandwidth { rate: 0 }]);
    none.says(ms(0), noop(1));
    none.until(ms(100_000));
    assert!(none.writes.is_empty());
    none.gates(ms(100_000), &[]);
    none.until(ms(100_000));
    assert_eq!(none.bytes(), noop(1));
}

#[test]
fn slices_are_as_long_as_they_are_to_be_and_come_one_by_one() {
    for play in both() {
        let gate = Gate::Slicer { average_size: 100, size_variation: 20, delay: Duration::from_micros(500) };
        let mut run = Run::new(play, &[gate]);
        let sent = [set(1, 10_000), set(2, 7)].concat();
        run.says(ms(3), &sent);
        run.until(ms(1_000));
        assert!(run.bytes() == sent);
        let mut slices: Vec<(Duration, usize)> = Vec::new();
        for (time, bytes) in &run.writes {
            match slices.last_mut() {
                Some((last, len)) if last == time => *len += bytes.len(),
                _ => slices.push((*time, bytes.len())),
            }
        }
        assert!(slices.windows(2).all(|pair| pair[1].0 - pair[0].0 == Duration::from_micros(500)));
        assert_eq!(slices[0].0, ms(3));
        let (last, all) = slices.split_last().unwrap();
        assert!(last.1 <= 120 && all.iter().all(|(_, len)| (80..=120).contains(len)), "{slices:?}");
        assert!(all.iter().any(|(_, len)| *len < 90) && all.iter().any(|(_, len)| *len > 110));
    }
    // Without a delay too each is a write of its own: one leaves whenever the engine is woken.
    let mut run =
        Run::new(Playbook::passive(), &[Gate::Slicer { average_size: 10, size_variation: 0, delay: Duration::ZERO }]);
    let gave = run.play.feed(D, [0x99; 100]);
    run.take(gave);
    for n in 1..=10 {
        let gave = run.play.woken_at(0);
        run.take(gave);
        assert_eq!(run.bytes().len(), 10 * n);
    }
}

#[test]
fn exactly_so_many_bytes_pass_and_with_the_last_of_them_all_is_closed() {
    let sent = [set(1, 30), set(2, 30), set(3, 30)].concat();
    for limit in 1..sent.len() {
        for (play, single) in both().into_iter().zip([true, false]) {
            let mut run = Run::new(play, &[Gate::LimitData { bytes: limit as u64 }]);
            for chunk in sent.chunks(if single { 1 } else { 40 }) {
                run.says(ms(1), chunk);
                run.until(ms(1));
            }
            assert!(run.bytes() == sent[..limit], "{} bytes of {limit}", run.bytes().len());
            assert_eq!(run.closes, [(ms(1), U, How::Fin), (ms(1), D, How::Fin)], "limit {limit}");
            // A frame that was cut was not delivered; nor is what comes behind.
            let told = run.play.story().iter().filter(|line| line.starts_with("Peer To Upstream: SET")).count();
            assert_eq!(told, limit / set(1, 30).len());
        }
    }
}

#[test]
fn a_limit_counts_from_when_it_came_and_goes_on_counting_when_it_is_changed() {
    for play in both() {
        let limit = |bytes| [Gate::LimitData { bytes }];
        let mut run = Run::new(play, &[]);
        run.says(ms(0), set(1, 30));
        run.gates(ms(1), &limit(100));
        run.says(ms(2), set(2, 30));
        run.gates(ms(3), &[Gate::LimitData { bytes: 150 }, latency(10, 0)]);
        run.says(ms(4), [set(3, 30), set(4, 30)].concat());
        run.until(ms(100));
        assert_eq!(run.bytes().len(), set(1, 30).len() + 150);
        assert_eq!(run.closes.len(), 2);
        // One that is below what has passed closes with the next byte, and 0 with the first.
        let mut run = Run::new(Playbook::passive(), &limit(100));
        run.says(ms(0), [0x99; 60]);
        run.gates(ms(1), &limit(50));
        run.until(ms(50));
        assert!(run.closes.is_empty());
        run.says(ms(50), [0x99; 1]);
        run.until(ms(50));
        assert_eq!((run.bytes().len(), run.closes.len()), (60, 2));
        let mut run = Run::new(Playbook::passive(), &limit(0));
        run.until(ms(50));
        assert!(run.closes.is_empty());
        run.says(ms(50), [0x99; 10]);
        run.until(ms(50));
        assert_eq!((run.bytes().len(), run.closes.len()), (0, 2));
    }
}

#[test]
fn behind_a_frame_that_a_limit_cut_the_tool_says_nothing() {
    let mut play = Playbook::armed(|event| match event {
        Event::Frame { from: U, .. } => vec![inject(U, &noop(0x77))],
        _ => Vec::new(),
    });
    play.gates(U, &[Gate::LimitData { bytes: 10 }]).gives_nothing();
    play.feed(D, set(1, 30)).gives([wait(0)]);
    let gave = play.woken_at(0);
    assert_eq!(gave.0[..3], [write(U, &set(1, 30)[..10]), close(U, How::Fin), close(D, How::Fin)]);
    let gave = play.feed(U, set(9, 1));
    assert!(gave.bytes(U).is_empty() && gave.bytes(D).is_empty());
}

#[test]
fn under_a_timeout_all_is_dropped_and_the_connection_is_closed_in_time_or_when_it_goes() {
    for play in both() {
        let timeout = Gate::Timeout { after: Some(ms(300)) };
        let mut run = Run::new(play, &[latency(50, 0)]);
        run.says(ms(0), noop(1));
        run.gates(ms(10), &[latency(50, 0), timeout]);
        run.says(ms(100), noop(2));
        run.until(ms(1_000));
        assert!(run.writes.is_empty(), "what waited is dropped too");
        assert_eq!(run.closes, [(ms(310), U, How::Fin), (ms(310), D, How::Fin)]);
        assert_eq!(run.play.engine.held(U), 0);
    }
    for play in both() {
        let mut run = Run::new(play, &[Gate::Timeout { after: None }]);
        run.says(ms(0), noop(1));
        run.until(ms(1_000_000));
        assert!(run.writes.is_empty() && run.closes.is_empty());
        run.gates(ms(1_000_000), &[]);
        assert_eq!(run.closes.len(), 2);
        assert!(run.writes.is_empty());
    }
    // The other way flows, and an end that closes is heard.
    let mut run = Run::new(Playbook::passive(), &[Gate::Timeout { after: None }]);
    run.play.feed(U, noop(3)).gives([write(D, noop(3))]);
    let gave = run.play.closed(D, How::Fin);
    run.take(gave);
    run.until(ms(0));
    assert_eq!(run.closes, [(ms(0), U, How::Fin)]);
}

#[test]
fn an_end_that_goes_on_though_it_was_closed_is_torn_down() {
    let mut run = Run::new(Playbook::passive(), &[Gate::Timeout { after: Some(ms(300)) }]);
    run.until(ms(1_000));
    let gave = run.play.closed(D, How::Fin);
    run.take(gave);
    run.play.feed(U, noop(1)).gives_nothing();
    run.until(ms(10_000));
    assert_eq!(run.closes[2..], [(ms(2_300), U, How::Reset)]);
}

#[test]
fn a_reset_comes_at_its_time_to_both_and_what_waited_does_not() {
    for (after, play) in [0, 100].into_iter().flat_map(|after| both().map(|play| (after, play))) {
        let mut run = Run::new(play, &[Gate::ResetPeer { after: ms(after) }]);
        run.says(ms(0), noop(1));
        run.until(ms(1_000));
        assert!(run.writes.is_empty());
        assert_eq!(run.closes.len(), 2);
        assert!(run.closes.iter().all(|(time, _, how)| *time == ms(after) && *how == How::Reset), "{:?}", run.closes);
    }
    // One that goes before its time has harmed nothing.
    let mut run = Run::new(Playbook::passive(), &[Gate::ResetPeer { after: ms(100) }]);
    run.says(ms(0), noop(1));
    run.gates(ms(99), &[]);
    run.until(ms(1_000));
    assert_eq!((run.bytes(), run.closes.len()), (noop(1).to_vec(), 0));
}

#[test]
fn a_slow_close_delays_the_end_and_nothing_else() {
    for play in both() {
        let mut run = Run::new(play, &[Gate::SlowClose { delay: ms(70) }]);
        run.says(ms(5), noop(1));
        run.until(ms(9));
        let gave = run.play.closed(D, How::Fin);
        run.take(gave);
        run.until(ms(500));
        assert_eq!((run.left(0), run.closes.clone()), (ms(5), vec![(ms(79), U, How::Fin)]));
    }
}

#[test]
fn a_change_acts_at_once_on_what_waits_from_the_time_that_it_came() {
    for play in both() {
        let mut run = Run::new(play, &[latency(1_000, 0)]);
        run.says(ms(0), noop(1));
        run.says(ms(100), noop(2));
        // Less: those that are due by now leave now, the others when they are.
        run.gates(ms(150), &[latency(120, 0)]);
        run.until(ms(400));
        assert_eq!((run.left(0), run.left(24)), (ms(150), ms(220)));
        // Another gate behind it changes nothing for a latency.
        run.says(ms(400), noop(3));
        run.gates(ms(450), &[latency(120, 0), Gate::SlowClose { delay: ms(9) }]);
        run.until(ms(900));
        assert_eq!(run.left(48), ms(520));
        run.says(ms(900), noop(4));
        run.gates(ms(950), &[]);
        run.until(ms(950));
        assert_eq!(run.left(72), ms(950), "removed: at once");
        run.says(ms(960), noop(5));
        assert_eq!(run.left(96), ms(960));
        assert_eq!(run.wanted, None, "nothing is waited for any more");
    }
}

#[test]
fn gates_act_one_after_the_other() {
    // 1,000 bytes take a second, and each is half a second late besides, in whatever order they stand.
    for gates in
        [[Gate::Bandwidth { rate: 1_000 }, latency(500, 0)], [latency(500, 0), Gate::Bandwidth { rate: 1_000 }]]
    {
        let mut run = Run::new(Playbook::passive(), &gates);
        run.says(ms(0), [0x99; 1_000]);
        run.until(ms(10_000));
        assert_eq!((run.left(0), run.left(999)), (ms(520), ms(1_500)));
    }
}

#[test]
fn what_the_tool_says_passes_the_gates_by() {
    let mut play = Playbook::armed(|event| match event {
        Event::Frame { from: U, .. } => vec![inject(U, &noop(0x77))],
        _ => Vec::new(),
    });
    play.gates(U, &[latency(100, 0), Gate::Bandwidth { rate: 10 }]).gives_nothing();
    play.feed(D, set(1, 3)).whatever();
    play.feed(U, noop(5)).gives([write(D, noop(5)), write(U, noop(0x77))]);
}

#[test]
fn bytes_of_half_a_frame_and_of_another_protocol_do_not_wait_for_more() {
    let mut run = Run::new(Playbook::passive(), &[latency(10, 0)]);
    run.says(ms(0), &set(1, 50)[..30]);
    run.says(ms(3), b"GET / HTTP/1.1\r\n");
    run.until(ms(100));
    assert_eq!((run.left(0), run.left(30)), (ms(10), ms(13)));
}

#[test]
fn a_latency_does_not_throttle_until_what_is_on_its_way_is_much() {
    let mut run = Run::new(Playbook::passive(), &[latency(1_000, 0)]);
    for _ in 0..40 {
        run.says(ms(0), vec![0x99; 64 * 1024]);
    }
    assert_eq!(run.play.engine.held(U), 0, "2.5 MiB are on their way");
    for _ in 0..40 {
        run.says(ms(0), vec![0x99; 64 * 1024]);
    }
    let held = run.play.engine.held(U);
    assert!((1024 * 1024..1024 * 1024 + 64 * 1024).contains(&held), "{held} wait beyond 4 MiB");
    // At a bandwidth no more is on its way than that lets be, and the rest waits.
    let mut run = Run::new(Playbook::passive(), &[latency(1_000, 0), Gate::Bandwidth { rate: 100_000 }]);
    run.says(ms(0), vec![0x99; 400_000]);
    assert!((300_000..301_000).contains(&run.play.engine.held(U)));
}
