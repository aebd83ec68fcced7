use std::fmt;
use std::str::FromStr;

use crate::wire::UnknownName;

/// A named historical bug that the embedded node can be told to have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Quirk {
    /// Closes on any response to SYSTEM_EVENT, PREPARE, COMMIT or ABORT.
    Mb35287,
    /// Closes on a marker's or vbucket state's response whose stream is gone.
    Mb32724,
    /// Closes on any response to a data message but Success.
    Mb37009,
    /// Takes "no such stream" for "no such prepare".
    Mb40934,
    /// Goes on with a stream after its STREAM_END.
    Mb18625,
    /// An orphaned response stalls another stream.
    StallAfterOrphan,
    /// An orphaned response makes another stream repeat itself.
    RepeatAfterOrphan,
    /// An orphaned response costs a part of the window for ever.
    LeakWindow,
    /// Closes a second after an orphaned response.
    LateDisconnect,
}

/// What there is to know of a quirk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct About {
    /// What the node does.
    pub does: &'static str,
    /// Where it comes from.
    pub history: &'static str,
    /// What must be so before it shows.
    pub needs: &'static str,
    /// The id of the finding that catches it.
    pub finding: &'static str,
}

impl Quirk {
    /// Every quirk, in the order of the issue.
    pub const ALL: [Self; 9] = [
        Self::Mb35287,
        Self::Mb32724,
        Self::Mb37009,
        Self::Mb40934,
        Self::Mb18625,
        Self::StallAfterOrphan,
        Self::RepeatAfterOrphan,
        Self::LeakWindow,
        Self::LateDisconnect,
    ];

    /// As `--quirk` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mb35287 => "mb-35287",
            Self::Mb32724 => "mb-32724",
            Self::Mb37009 => "mb-37009",
            Self::Mb40934 => "mb-40934",
            Self::Mb18625 => "mb-18625",
            Self::StallAfterOrphan => "stall-after-orphan",
            Self::RepeatAfterOrphan => "repeat-after-orphan",
            Self::LeakWindow => "leak-window",
            Self::LateDisconnect => "late-disconnect",
        }
    }

    /// What it does, its history, what it needs and what catches it.
    pub const fn about(self) -> About {
        match self {
            Self::Mb35287 => About {
                does: "closes the connection on any response to DCP_SYSTEM_EVENT, DCP_PREPARE, DCP_COMMIT or DCP_ABORT",
                history: "MB-35287: such responses were not in the producer's list of tolerated ones until b2bdbfa8b \
                          (2019-07-29, 6.5)",
                needs: "an era from 2019-07 on (in 6.0 it may close on them), and one of these messages on the stream",
                finding: "connection-kept",
            },
            Self::Mb32724 => About {
                does: "closes the connection on a response to DCP_SNAPSHOT_MARKER or DCP_SET_VBUCKET_STATE whose stream \
                       is gone",
                history: "MB-32724: a regression of 56d72278d, reverted by 985fb9987 (2019-01-23, 6.5)",
                needs: "a marker (or vbucket state) that is answered after the producer closed or ended its stream: one \
                        that comes after the cut",
                finding: "connection-kept",
            },
            Self::Mb37009 => About {
                does: "closes the connection on any response to a data message or DCP_STREAM_END but Success",
                history: "MB-37009: the first strict version, e7e98274f (2020-05-19), before NotMyVbucket, KeyEnoent and \
                          KeyEexists were let through again (36134ec90, 2020-06-09, 6.6)",
                needs: "nothing: every era keeps the connection for some of these",
                finding: "connection-kept",
            },
            Self::Mb40934 => About {
                does: "closes the connection when DCP_COMMIT or DCP_ABORT is answered with KeyEnoent, DcpStreamNotFound or \
                       OpaqueNoMatch: a stream that is gone is taken for a prepare that is missing",
                history: "MB-40934: KeyEnoent meant both until 7b0b3b3ae (2020-11-19, 7.0) gave the two statuses of streams \
                          their own codes; here the codes exist, and the producer still confuses them",
                needs: "an era from 7.0 on, sync writes, and a COMMIT or ABORT on the stream; shows with v7_dcp_status_codes \
                        and without, where 0x0a or 0x0b is the answer",
                finding: "connection-kept",
            },
            Self::Mb18625 => About {
                does: "sends up to eight more messages of a stream after its DCP_STREAM_END",
                history: "MB-18625: mutations were queued behind the end of the stream until bb1138b7f (2016-03-10, 4.5)",
                needs: "a DCP_STREAM_END, so the control send_stream_end_on_client_close_stream or an end seqno that is \
                        below the last one",
                finding: "stream-stays-closed",
            },
            Self::StallAfterOrphan => About {
                does: "after an orphaned response one other open stream stops for ever in the middle of a snapshot, while \
                       the connection and its no-ops go on",
                history: "made up, after MB-38356 (a refused second request silently stopped the first stream) and MB-36794",
                needs: "a second open stream that still has, or gets, a snapshot to send",
                finding: "streams-undisturbed",
            },
            Self::RepeatAfterOrphan => About {
                does: "after an orphaned response one other open stream sends its last seqnos once more",
                history: "made up, after the non-monotonic seqnos of MB-50543, MB-51105 and MB-50333",
                needs: "a second open stream that has sent, or sends, some items",
                finding: "streams-undisturbed",
            },
            Self::LeakWindow => About {
                does: "every orphaned response costs a quarter of the window for ever, although DCP_BUFFER_ACK gives the \
                       message's bytes back; so much that it shows with a window of any size: after four of them the \
                       streams that were not answered stop inside a snapshot",
                history: "made up, after MB-28573 (refused frames were never acknowledged, at the other end)",
                needs: "flow control, four orphaned responses, and a second open stream that still has, or gets, a snapshot to \
                        send",
                finding: "window-restored",
            },
            Self::LateDisconnect => About {
                does: "closes the connection a second after an orphaned response, and answers no-ops until shortly before",
                history: "made up, after the tick of the connection manager that delays every real disconnect",
                needs: "nothing",
                finding: "connection-kept",
            },
        }
    }
}

impl fmt::Display for Quirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Quirk {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|quirk| quirk.name() == text).ok_or_else(|| UnknownName {
            expected: "a quirk: mb-35287, mb-32724, mb-37009, mb-40934, mb-18625, stall-after-orphan, \
                       repeat-after-orphan, leak-window or late-disconnect",
            found: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways_and_the_message_lists_them_all() {
        let error = "nonsense".parse::<Quirk>().unwrap_err().to_string();
        for quirk in Quirk::ALL {
            assert_eq!(quirk.to_string().parse(), Ok(quirk));
            assert!(error.contains(quirk.name()), "{error}");
        }
    }

    #[test]
    fn every_quirk_is_caught_by_a_finding_of_the_design() {
        let findings = [
            "connection-kept",
            "streams-undisturbed",
            "stream-stays-closed",
            "stream-resumes",
            "window-restored",
            "era-demands-close",
        ];
        for quirk in Quirk::ALL {
            assert!(findings.contains(&quirk.about().finding), "{quirk}");
        }
    }
}
