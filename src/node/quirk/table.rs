//! Every quirk, in one place each: to add one is to add an entry here, and the rule that it breaks where that rule is.

super::quirks! {
    producer {
        Mb35287 = "mb-35287" {
            does: "closes the connection on any response to DCP_SYSTEM_EVENT, DCP_PREPARE, DCP_COMMIT or DCP_ABORT",
            history: "MB-35287: such responses were not in the producer's list of tolerated ones until b2bdbfa8b \
                (2019-07-29, 6.5)",
            needs: "an era from 2019-07 on (in 6.0 it may close on them), and one of these messages on the stream",
            scenario: "orphaned-responses",
            finding: "connection-kept",
        }

        Mb32724 = "mb-32724" {
            does: "closes the connection on a response to DCP_SNAPSHOT_MARKER or DCP_SET_VBUCKET_STATE whose stream \
                is gone",
            history: "MB-32724: a regression of 56d72278d, reverted by 985fb9987 (2019-01-23, 6.5)",
            needs: "a marker (or vbucket state) that is answered after the producer closed or ended its stream: one \
                that comes after the cut",
            scenario: "orphaned-responses",
            finding: "connection-kept",
        }

        Mb37009 = "mb-37009" {
            does: "closes the connection on any response to a data message or DCP_STREAM_END but Success",
            history: "MB-37009: the first strict version, e7e98274f (2020-05-19), before NotMyVbucket, KeyEnoent and \
                KeyEexists were let through again (36134ec90, 2020-06-09, 6.6)",
            needs: "nothing: every era keeps the connection for some of these",
            scenario: "orphaned-responses",
            finding: "connection-kept",
        }

        Mb40934 = "mb-40934" {
            does: "closes the connection when DCP_COMMIT or DCP_ABORT is answered with KeyEnoent, DcpStreamNotFound or \
                OpaqueNoMatch: a stream that is gone is taken for a prepare that is missing",
            history: "MB-40934: KeyEnoent meant both until 7b0b3b3ae (2020-11-19, 7.0) gave the two statuses of streams \
                their own codes; here the codes exist, and the producer still confuses them",
            needs: "an era from 7.0 on, sync writes, and a COMMIT or ABORT on the stream; shows with v7_dcp_status_codes \
                and without, where 0x0a or 0x0b is the answer",
            scenario: "orphaned-responses",
            finding: "connection-kept",
        }

        Mb18625 = "mb-18625" {
            does: "sends up to eight more messages of a stream after its DCP_STREAM_END",
            history: "MB-18625: mutations were queued behind the end of the stream until bb1138b7f (2016-03-10, 4.5)",
            needs: "a DCP_STREAM_END, so the control send_stream_end_on_client_close_stream or an end seqno that is \
                below the last one",
            scenario: "orphaned-responses",
            finding: "stream-stays-closed",
        }

        StallAfterOrphan = "stall-after-orphan" {
            does: "after an orphaned response one other open stream stops for ever in the middle of a snapshot, while \
                the connection and its no-ops go on",
            history: "made up, after MB-38356 (a refused second request silently stopped the first stream) and MB-36794",
            needs: "a second open stream that still has, or gets, a snapshot to send",
            scenario: "orphaned-responses",
            finding: "streams-undisturbed",
        }

        RepeatAfterOrphan = "repeat-after-orphan" {
            does: "after an orphaned response one other open stream sends its last seqnos once more",
            history: "made up, after the non-monotonic seqnos of MB-50543, MB-51105 and MB-50333",
            needs: "a second open stream that has sent, or sends, some items",
            scenario: "orphaned-responses",
            finding: "streams-undisturbed",
        }

        LeakWindow = "leak-window" {
            does: "every orphaned response costs a quarter of the window for ever, although DCP_BUFFER_ACK gives the \
                message's bytes back; so much that it shows with a window of any size: after four of them the \
                streams that were not answered stop inside a snapshot",
            history: "made up, after MB-28573 (refused frames were never acknowledged, at the other end)",
            needs: "flow control, four orphaned responses, and a second open stream that still has, or gets, a snapshot to \
                send",
            scenario: "orphaned-responses",
            finding: "window-restored",
        }

        LateDisconnect = "late-disconnect" {
            does: "closes the connection a second after an orphaned response, and answers no-ops until shortly before",
            history: "made up, after the tick of the connection manager that delays every real disconnect",
            needs: "nothing",
            scenario: "orphaned-responses",
            finding: "connection-kept",
        }
    }

    consumer {
    }
}
