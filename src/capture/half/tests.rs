use proptest::prelude::*;

use super::*;

/// The bytes, the first's sequence number, the segments as ranges of them, and after which of these an ACK comes.
type Sent = (Vec<u8>, u32, Vec<(usize, usize)>, Vec<bool>);

/// A stream of `len` bytes, cut into segments at `cuts`, some of them sent again or overlapping their neighbours,
/// shuffled within a window of 8.
fn segments() -> impl Strategy<Value = Sent> {
    (1_usize..2000, any::<u32>(), any::<bool>()).prop_flat_map(|(len, start, wraps)| {
        let start = if wraps { u32::MAX.wrapping_sub(start % 2000) } else { start };
        let parts = prop::collection::vec((0..len, 0_usize..60, 0_usize..30, 0_u8..4, any::<u8>()), 1..60);
        (Just(len), Just(start), parts).prop_flat_map(|(len, start, parts)| {
            let mut cuts: Vec<usize> = parts.iter().map(|part| part.0).chain([0, len]).collect();
            cuts.sort_unstable();
            cuts.dedup();
            let mut sent = Vec::new();
            for (n, pair) in cuts.windows(2).enumerate() {
                let part = parts[n % parts.len()];
                sent.push((n, (pair[0].saturating_sub(part.1), (pair[1] + part.2).min(len))));
                if part.3 == 0 {
                    sent.push((n + usize::from(part.4 % 8), (pair[0], pair[1])));
                }
            }
            let delays = prop::collection::vec(0_usize..8, sent.len());
            let pauses = prop::collection::vec(any::<bool>(), sent.len());
            (Just((len, start, sent)), delays, pauses).prop_map(|((len, start, mut sent), delays, pauses)| {
                for (segment, delay) in sent.iter_mut().zip(delays) {
                    segment.0 += delay;
                }
                sent.sort_by_key(|segment| segment.0);
                let bytes = (0..len).map(|n| (n % 251) as u8).collect();
                (bytes, start, sent.into_iter().map(|segment| segment.1).collect(), pauses)
            })
        })
    })
}

proptest! {
    #[test]
    fn any_cut_shuffled_repeated_overlapped_stream_comes_back_whole(
        (bytes, start, segments, acks) in segments(), missing in any::<prop::sample::Index>()
    ) {
        let mut half = Half::default();
        half.begin(start);
        let mut out = Vec::new();
        let mut others = 0;
        let mut seen = vec![false; bytes.len()];
        for (n, (&(from, to), ack)) in segments.iter().zip(acks).enumerate() {
            let mut tell = |offset: u64, delivery: Delivery<'_>| match delivery {
                Delivery::Data(part) => {
                    assert_eq!(offset, out.len() as u64);
                    out.extend_from_slice(part);
                }
                Delivery::Gap(_) | Delivery::End => others += 1,
            };
            half.segment(start.wrapping_add(from as u32), &bytes[from..to], 0, false, &mut tell);
            seen[from..to].fill(true);
            if ack {
                // The other end acknowledges what came to it without a hole.
                let whole = seen.iter().position(|&s| !s).unwrap_or(bytes.len());
                half.acknowledged(start.wrapping_add(whole as u32));
            }
            half.settle(Timestamp(n as u64 * 50_000_000), &mut tell);
            let whole = seen.iter().position(|&s| !s).unwrap_or(bytes.len());
            assert_eq!(out.len(), whole, "delivered as soon as it can be");
        }
        prop_assert_eq!(&out, &bytes);
        prop_assert_eq!(others, 0);
        prop_assert!(half.held.is_empty());
        prop_assert_eq!(half.held_cost, 0);

        // Without one of the segments: the same bytes, but for gaps of the right place and size.
        let left_out = missing.index(segments.len());
        let mut half = Half::default();
        half.begin(start);
        let mut at = 0_u64;
        let mut covered = vec![false; bytes.len()];
        let mut tell = |offset: u64, delivery: Delivery<'_>| {
            assert_eq!(offset, at);
            match delivery {
                Delivery::Data(part) => {
                    assert_eq!(part, &bytes[at as usize..at as usize + part.len()]);
                    covered[at as usize..at as usize + part.len()].fill(true);
                    at += part.len() as u64;
                }
                Delivery::Gap(size) => at += size.unwrap(),
                Delivery::End => assert_eq!(at, bytes.len() as u64),
            }
        };
        let mut expected = vec![false; bytes.len()];
        for (n, &(from, to)) in segments.iter().enumerate() {
            if n != left_out {
                half.segment(start.wrapping_add(from as u32), &bytes[from..to], 0, false, &mut tell);
                expected[from..to].fill(true);
            }
        }
        half.segment(start.wrapping_add(bytes.len() as u32), b"", 0, true, &mut tell);
        half.flush(&mut tell);
        prop_assert!(half.has_ended());
        prop_assert_eq!(covered, expected);
    }

    #[test]
    fn no_sequence_of_calls_loops_or_loses_count(
        calls in prop::collection::vec(
            (0_u8..6, prop_oneof![0_u32..40, any::<u32>()], 0_usize..20, 0_u32..9, any::<bool>()),
            0..40,
        )
    ) {
        let mut half = Half::default();
        let bytes = [0; 20];
        let mut at = 0_u64;
        let mut ends = 0;
        let mut tell = |offset: u64, delivery: Delivery<'_>| {
            assert_eq!(offset, at);
            at += match delivery {
                Delivery::Data(part) => part.len() as u64,
                Delivery::Gap(size) => size.unwrap_or_default(),
                Delivery::End => {
                    ends += 1;
                    0
                }
            };
        };
        for (n, &(call, seq, len, missing, fin)) in calls.iter().enumerate() {
            match call {
                0 => half.begin(seq),
                1 => half.acknowledged(seq),
                2 => half.settle(Timestamp(n as u64 * 70_000_000), &mut tell),
                3 if n % 7 == 0 => half.flush(&mut tell),
                _ => half.segment(seq, &bytes[..len], missing, fin, &mut tell),
            }
        }
        half.flush(&mut tell);
        prop_assert!(half.held.is_empty());
        prop_assert_eq!(half.held_cost, 0);
        prop_assert!(ends <= 1);
    }
}
