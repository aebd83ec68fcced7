use std::collections::BTreeMap;
use std::time::Duration;

use super::Seen;
use crate::Timestamp;
use crate::dcp::Message;
use crate::dcp::StreamEnd;
use crate::dcp::StreamReqResponse;
use crate::session::StreamKey;
use crate::verdict::Finding;
use crate::verdict::Verdict;

const DEMANDS: &str = "after the end of a stream that is no normal one, and after a rollback, the consumer requests it again from where \
                       it was, and not again and again from what was refused";

/// How long it may take until the stream is requested again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests in a row from above what the producer has told to roll back to.
const STORM: u32 = 5;

/// Whether the consumer carries on with its streams. A node's streams are for its manager to add again, and a vbucket that
/// really moved is streamed from another node: where its end was not forged, silence after it proves nothing.
#[derive(Debug, Default)]
pub(super) struct CarriesOn {
    vbuckets: BTreeMap<StreamKey, Progress>,
    resumed: u64,
    wrong: Option<Finding>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The last seqno that the consumer has.
    last: u64,
    known: bool,
    /// The end after which it is to be requested again.
    ended: Option<Ended>,
    /// The seqno of the last rollback, and when, while there is no request for it.
    rollback: Option<(u64, Timestamp)>,
    /// How often in a row a rollback was not followed.
    stubborn: u32,
}

#[derive(Clone, Copy, Debug)]
struct Ended {
    at: Timestamp,
    reason: u32,
    forged: bool,
}

impl CarriesOn {
    pub(super) fn observe(&mut self, seen: &Seen<'_>) {
        let Some(key) = seen.context.stream.map(|stream| stream.key) else { return };
        match (&seen.head.message, seen.said) {
            (Ok(Message::StreamReq(request)), true) => self.requested(key, request.start_seqno, seen),
            (Ok(Message::StreamReqResponse(StreamReqResponse::Rollback { rollback_seqno })), false) => {
                let progress = self.vbuckets.entry(key).or_default();
                progress.rollback = Some((*rollback_seqno, seen.at));
            }
            (Ok(Message::CloseStream(_)), true) => {
                // It wants no more of it.
                if let Some(progress) = self.vbuckets.get_mut(&key) {
                    progress.ended = None;
                    progress.rollback = None;
                }
            }
            (Ok(Message::StreamEnd(end)), false) => self.ended(key, end.end_reason, seen),
            (Ok(message), false) => {
                let live = seen.context.stream.and_then(|stream| stream.before).is_some_and(|b| b.state.is_live());
                if let (Some(seqno), true) = (message.by_seqno(), live) {
                    let progress = self.vbuckets.entry(key).or_default();
                    progress.last = progress.last.max(seqno);
                    progress.stubborn = 0;
                }
            }
            (Ok(_) | Err(_), _) => {}
        }
    }

    fn requested(&mut self, key: StreamKey, start: u64, seen: &Seen<'_>) {
        let progress = self.vbuckets.entry(key).or_default();
        let vbucket = key.vbucket;
        let fail = |expected: String, actual: String| {
            finding(Verdict::Fail).expected(expected).actual(actual).at(seen.at).vbucket(vbucket).seqno(start)
        };
        if let Some((rollback, _)) = progress.rollback.take() {
            if start > rollback {
                progress.stubborn = progress.stubborn.saturating_add(1);
                if progress.stubborn >= STORM {
                    let again = progress.stubborn;
                    self.wrong.get_or_insert(fail(
                        format!("a request from {rollback} or before, after a rollback to it"),
                        format!("{again} requests in a row from {start}"),
                    ));
                }
            } else {
                progress.stubborn = 0;
                self.resumed = self.resumed.saturating_add(1);
            }
        } else {
            if progress.known && start > progress.last {
                let last = progress.last;
                self.wrong.get_or_insert(fail(
                    format!("a request from seqno {last}, where the stream ended"),
                    format!("one from {start}: what lies between is lost"),
                ));
            } else if progress.ended.is_some() {
                self.resumed = self.resumed.saturating_add(1);
            }
        }
        progress.ended = None;
        progress.known = true;
        progress.last = start;
    }

    fn ended(&mut self, key: StreamKey, reason: u32, seen: &Seen<'_>) {
        let Some(before) = seen.context.stream.and_then(|stream| stream.before) else { return };
        if seen.kv || !before.state.is_live() || before.close.is_some() {
            return;
        }
        let for_good =
            matches!(reason, StreamEnd::OK | StreamEnd::CLOSED | StreamEnd::FILTER_EMPTY | StreamEnd::LOST_PRIVILEGES);
        if !for_good {
            let ended = Ended { at: seen.at, reason, forged: seen.forged };
            self.vbuckets.entry(key).or_default().ended = Some(ended);
        }
    }

    /// The consumer was not read from until now.
    pub(super) fn excuse(&mut self, now: Timestamp) {
        for progress in self.vbuckets.values_mut() {
            progress.ended = progress.ended.map(|ended| Ended { at: now, ..ended });
            progress.rollback = progress.rollback.map(|(seqno, _)| (seqno, now));
        }
    }

    pub(super) fn finding(&self, now: Timestamp) -> Option<Finding> {
        if let Some(wrong) = &self.wrong {
            return Some(wrong.clone());
        }
        let mut unsure = None;
        for (key, progress) in &self.vbuckets {
            let say = |verdict, at: Timestamp, after: String| {
                finding(verdict)
                    .expected(format!("another request within {} s", PATIENCE.as_secs()))
                    .actual(format!("none {} ms after {after}", now.since(at).as_millis()))
                    .at(at)
                    .vbucket(key.vbucket)
                    .seqno(progress.last)
            };
            if let Some(ended) = progress.ended {
                let after = format!("STREAM_END with reason {}", ended.reason);
                let late = now.since(ended.at) > PATIENCE;
                // A vbucket that moved is to be had elsewhere.
                if late && (ended.forged || ended.reason != StreamEnd::STATE_CHANGED) {
                    return Some(say(Verdict::Fail, ended.at, after));
                }
                unsure = unsure.or_else(|| Some(say(Verdict::Inconclusive, ended.at, after)));
            }
            if let Some((seqno, at)) = progress.rollback {
                let after = format!("a rollback to {seqno}");
                if now.since(at) > PATIENCE {
                    return Some(say(Verdict::Fail, at, after));
                }
                unsure = unsure.or_else(|| Some(say(Verdict::Inconclusive, at, after)));
            }
        }
        unsure.or_else(|| {
            (self.resumed > 0).then(|| {
                finding(Verdict::Pass)
                    .expected("a request from where the stream was")
                    .actual(format!("{} streams requested again so", self.resumed))
            })
        })
    }
}

fn finding(verdict: Verdict) -> Finding {
    Finding::new("consumer-carries-on", DEMANDS, verdict)
}
