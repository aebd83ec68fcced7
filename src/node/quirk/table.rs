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

        SkipAfterOrphan = "skip-after-orphan" {
            does: "after an orphaned response one other open stream leaves out one mutation, which is legal on the wire",
            history: "made up: seqnos may have gaps, so a lost item is found only beside a stream of the same range that nothing happened to",
            needs: "a second open stream inside a snapshot",
            scenario: "skip-after-orphan",
            finding: "reference-stream",
        }

        OrphanAfterEnd = "orphan-after-end" {
            does: "closes the connection on a response to a data message or DCP_STREAM_END whose stream is gone",
            history: "made up, after MB-32724, which did so for markers (orphaned-responses.md §7 g)",
            needs: "an orphaned response that arrives after the stream's end was sent",
            scenario: "orphaned-responses",
            finding: "connection-kept",
        }

        LargeOrphan = "large-orphan" {
            does: "closes the connection on a response to a stream message with more than 20 KiB of body",
            history: "made up: a NotMyVbucket response carries the cluster map (orphaned-responses.md §7 k)",
            needs: "an orphaned response with a large body, such as a cluster map of 100 KiB",
            scenario: "large-orphan",
            finding: "connection-kept",
        }

        SkipAfterClose = "skip-after-close" {
            does: "goes on behind the snapshot when a stream is requested again from the middle of it: what was left of it is \
                skipped",
            history: "made up, after sync_gateway's pull request 5597 (seqnos skipped when a stream is closed in mid-flow)",
            needs: "a stream that is closed inside a snapshot, and requested again from where the consumer was",
            scenario: "skip-after-close",
            finding: "reference-stream",
        }

        RollbackStorm = "rollback-storm" {
            does: "answers every DCP_STREAM_REQ that does not start at 0 with Rollback to one seqno less, the seqno that it named \
                before included",
            history: "made up, after java-dcp-client's issue 10 (rollbacks without end)",
            needs: "a stream that is requested from above 0",
            scenario: "rollback-storm",
            finding: "silence",
        }

        RefuseReadd = "refuse-readd" {
            does: "refuses a DCP_STREAM_REQ with KeyEexists while the closed stream of the vbucket has not sent its DCP_STREAM_END",
            history: "made up (orphaned-responses.md §7 c: added again before the end)",
            needs: "send_stream_end_on_client_close_stream, and a full window or much queued when the stream is requested again",
            scenario: "refuse-readd",
            finding: "response",
        }

        StrayMarkerAck = "stray-marker-ack" {
            does: "counts every response to a marker against the markers that await one: one too many in a takeover, and after the \
                vbucket is set dead neither the state active nor DCP_STREAM_END follows",
            history: "measured on 7.0.5 (real-servers.md §5): no active copy of the vbucket is left",
            needs: "a takeover stream, and one more response to a marker than was asked for",
            scenario: "stray-marker-ack",
            finding: "stream_end",
        }

        Mb36794 = "mb-36794" {
            does: "swallows Einval for DCP_PREPARE, DCP_COMMIT and DCP_ABORT, and sends nothing more of their stream",
            history: "MB-36794: the stream was stuck for ever until bf634d0ac (2019-11-14, 6.5) made it a reason to disconnect",
            needs: "an era from 6.5 on, which must close for it, sync writes, and one of these messages answered with Einval",
            scenario: "mb-36794",
            finding: "era-demands-close",
        }

        Mb36971 = "mb-36971" {
            does: "swallows KeyEnoent for DCP_COMMIT and DCP_ABORT, and sends nothing more of their stream",
            history: "MB-36971: the rebalance hung until 19210da3d (2019-11-26, 6.5) made it a reason to disconnect",
            needs: "an era from 6.5 on, which must close for it, sync writes, and one of these messages answered with KeyEnoent",
            scenario: "mb-36971",
            finding: "era-demands-close",
        }

        Mb35378 = "mb-35378" {
            does: "closes the connection on a DCP_SEQNO_ACKNOWLEDGED for a stream whose DCP_STREAM_END was sent",
            history: "MB-35378: until a35b2f33e (2019-08-01, 6.5)",
            needs: "sync replication, and an acknowledgement after the end of the stream",
            scenario: "mb-35378",
            finding: "survives",
        }

        Mb35226 = "mb-35226" {
            does: "keeps a DCP_SEQNO_ACKNOWLEDGED that arrives on a stream that is closed but has not ended, and closes the connection when \
                the vbucket, requested anew, is acknowledged below it",
            history: "MB-35226: the stale acknowledgement broke the monotony of the next ones until 536081690 (2019-07-31, 6.5)",
            needs: "sync replication, a full window (or one write) so that the acknowledgement comes between DCP_CLOSE_STREAM and \
                DCP_STREAM_END, then the vbucket requested from a lower seqno and acknowledged there",
            scenario: "mb-35226",
            finding: "survives",
        }

        Mb35314 = "mb-35314" {
            does: "takes enable_sync_writes alone for full sync replication: it sends v2 markers, and takes acknowledgements, without a \
                consumer_name",
            history: "MB-35314: until 76420cb89 (2019-07-30, 6.5)",
            needs: "a consumer that enables sync writes and gives no name",
            scenario: "mb-35314",
            finding: "a10-marker-version-agreed",
        }

        Mb26363 = "mb-26363" {
            does: "sends no DCP_STREAM_END after a client's DCP_CLOSE_STREAM, although send_stream_end_on_client_close_stream was accepted",
            history: "MB-26363: no end came at all before 706b5173a (2018-01-12, 5.5) added the control",
            needs: "the control, and a stream that the client closes",
            scenario: "mb-26363",
            finding: "stream_end",
        }

        Mb25820 = "mb-25820" {
            does: "answers a DCP_STREAM_REQ for a vbucket that is dead or not there twice, with Success and then with NotMyVbucket",
            history: "MB-25820: until a39fcef2b (2017-08-31, 5.0)",
            needs: "a request for a vbucket that is dead or not there",
            scenario: "mb-25820",
            finding: "c2-one-answer",
        }

        Mb38356 = "mb-38356" {
            does: "refuses a second DCP_STREAM_REQ for an open stream with KeyEexists, and sends nothing more of the first",
            history: "MB-38356: until aa764c995 (2020-03-24, 6.5.1)",
            needs: "a second request for an open stream that still has, or gets, more to send than is on its way already",
            scenario: "mb-38356",
            finding: "progress",
        }

        Mb31481 = "mb-31481" {
            does: "does not end a stream at its end seqno if the window was full while it was being read from disk",
            history: "MB-31481, MB-31570: the end was skipped after a slow stream's cursor was dropped in a backfill, until 66985a89b and \
                6c5303ae2 (2018-10, 6.0.x and 5.5.x)",
            needs: "a stream with an end seqno, and a window that fills up in its disk snapshot",
            scenario: "mb-31481",
            finding: "stream_end",
        }

        Mb27489 = "mb-27489" {
            does: "sends nothing more of a stream whose vbucket is set dead or deleted while it is read from disk, DCP_STREAM_END included",
            history: "MB-27489: a backfill that failed left the stream hanging until 03b698ce3 (2018-01-11, 5.5)",
            needs: "a vbucket that goes away (SET_VBUCKET, DEL_VBUCKET, a takeover of another connection) during a backfill: a window \
                that is small beside it",
            scenario: "mb-27489",
            finding: "stream_end",
        }

        Mb17230 = "mb-17230" {
            does: "creates a stream for a vbucket that is dead or not there: Success instead of NotMyVbucket, and then nothing",
            history: "MB-17230: until 6b900ac7e (2016-04-06, 4.5)",
            needs: "a request for a vbucket that is dead or not there",
            scenario: "mb-17230",
            finding: "response",
        }

        Mb45523 = "mb-45523" {
            does: "takes a DCP_SET_VBUCKET_STATE that is due while the window is full for sent: the takeover never goes on",
            history: "MB-45523: until 4cb7a2ee6 (2021-04-21, 7.0)",
            needs: "a takeover, and a window that is full once its markers are answered",
            scenario: "mb-45523",
            finding: "stream_end",
        }

        Mb72330 = "mb-72330" {
            does: "refuses a connection_buffer_size of 4 GiB or more with Einval",
            history: "MB-72330: until 972547685 (2026-06, master)",
            needs: "era master",
            scenario: "mb-72330",
            finding: "response",
        }

        Mb50543 = "mb-50543" {
            does: "begins the memory snapshot behind a disk snapshot at the end of that one, instead of above it",
            history: "MB-50543: snapshots whose start was not monotonic were sent until 2022-02 (7.1)",
            needs: "a stream that goes on from disk into memory",
            scenario: "mb-50543",
            finding: "d6-markers-ascend",
        }

        Mb51105 = "mb-51105" {
            does: "sends the first seqnos of the memory snapshot behind a disk snapshot once more",
            history: "MB-51105, MB-50333: seqnos that were not monotonic were sent until 2022-03 (7.1)",
            needs: "a stream that goes on from disk into memory",
            scenario: "mb-51105",
            finding: "d2-seqno-increases",
        }

        Mb62847 = "mb-62847" {
            does: "leaves out the DCP_SEQNO_ADVANCED at the end of a snapshot, so that a stream whose end seqno lies there does not end",
            history: "MB-62847, MB-65581, MB-73354: missing at a snapshot's end, 2024 to 2026",
            needs: "collections without sync replication, and a stream whose end seqno lies in a snapshot that ends with a prepare, an abort, \
                or what is filtered out",
            scenario: "mb-62847",
            finding: "streams-undisturbed",
        }

        Mb66612 = "mb-66612" {
            does: "sends DCP_SEQNO_ADVANCED right behind the marker, before the snapshot's items",
            history: "MB-66612: too early, 2025",
            needs: "collections without sync replication, and a snapshot whose last seqno the stream is not sent",
            scenario: "mb-66612",
            finding: "d2-seqno-increases",
        }

        Mb46634 = "mb-46634" {
            does: "does not charge the 2 bytes more that a DCP_PREPARE costs, so that who gives back all that was charged gives back more",
            history: "MB-46634: charged since 6.5 and kept, since clients count on it; here it is as if it were mended",
            needs: "flow control, sync writes, and a consumer that fills the window again and again",
            scenario: "mb-46634",
            finding: "g1-window-respected",
        }

        Mb40277 = "mb-40277" {
            does: "does not charge the 3 bytes of the stream id in DCP_MUTATION, DCP_SNAPSHOT_MARKER and DCP_SYSTEM_EVENT, so that \
                who gives back all that was received gives back more",
            history: "MB-40277: until 35546b437 (2020-07-07, 7.0)",
            needs: "an era from 7.0 on (those before did it by right), v7_dcp_status_codes, which shows the rule the era, flow \
                control, stream ids, and a consumer that fills the window",
            scenario: "mb-40277",
            finding: "g1-window-respected",
        }

        Mb42506 = "mb-42506" {
            does: "does not charge the 3 bytes of the stream id in DCP_STREAM_END",
            history: "MB-42506: until a6247c135 and b1c2e364f (2020-12, 7.0)",
            needs: "as mb-40277, and streams that end: some 3 bytes each, so many ends, or a window that one of them fills",
            scenario: "mb-42506",
            finding: "g1-window-respected",
        }
    }

    consumer {
        Mb28573 = "mb-28573" {
            does: "does not count the bytes of messages that it refuses, and never gives them back",
            history: "MB-28573: refused frames were not acknowledged, and the window closed for ever, until 0dd8b1075 (2018-03-08, 5.5)",
            needs: "flow control, and a message that it refuses: of a node one that it answers with an error, of a client one of a stream that is over",
            scenario: "mb-28573",
            finding: "consumer-acknowledges",
        }

        Mb18661 = "mb-18661" {
            does: "looks whether an acknowledgement is due before it counts a message, and at no other time: what is due waits for the next one",
            history: "MB-18661: an acknowledgement was not sent although due until 3f0b967d6 (2016-03-15, 4.5)",
            needs: "flow control, and a pause after the last message (a full window is one)",
            scenario: "mb-18661",
            finding: "consumer-acknowledges",
        }

        Mb47318 = "mb-47318" {
            does: "counts the bytes of a stream that it has not given back yet once more when it is told to close it",
            history: "MB-47318: bytes of a stream closed while it was buffering were acknowledged twice until d83d53e65 (2021-12-01, 7.1; 6.6.5)",
            needs: "flow control, and CLOSE_STREAM to the node while less than a fifth of the window waits to be acknowledged",
            scenario: "mb-47318",
            finding: "consumer-acknowledges",
        }

        Mb60468 = "mb-60468" {
            does: "counts the bytes of a stream that it has not given back yet once more when its STREAM_END comes",
            history: "MB-60468: bytes were acknowledged twice when a stream died while its task did so, until 67934e940 (2024-01-26, 7.6)",
            needs: "flow control, and a STREAM_END shortly after messages of its stream",
            scenario: "mb-60468",
            finding: "consumer-acknowledges",
        }

        Mb72321 = "mb-72321" {
            does: "counts a DCP_DELETION twice, as one that is tried again after a background fetch",
            history: "MB-72321: a frame that was retried after a background fetch was acknowledged twice until d2dc6a61e (2026-06-29)",
            needs: "flow control, and a deletion (with quirk mb-28502 too: of version 1)",
            scenario: "mb-72321",
            finding: "consumer-acknowledges",
        }

        Mb56275 = "mb-56275" {
            does: "forgets the bytes of a stream that it has not given back yet when its STREAM_END comes",
            history: "MB-56275: buffered bytes were never acknowledged when STREAM_END came, until 4f94f4544 (2023-04, 7.2)",
            needs: "flow control, and a STREAM_END shortly after messages of its stream",
            scenario: "mb-56275",
            finding: "consumer-acknowledges",
        }

        Mb64936 = "mb-64936" {
            does: "counts a marker of version 2.2 as long as one of version 2.0",
            history: "MB-64936: 16 bytes of each such marker were not acknowledged until ad6c66770 (2025-01-31, 8.0)",
            needs: "flow control, and the control max_marker_version 2.2, which the client must ask for",
            scenario: "mb-64936",
            finding: "consumer-acknowledges",
        }

        Mb28502 = "mb-28502" {
            does: "counts a DCP_DELETION of version 2 as long as one of version 1",
            history: "MB-28502: 3 bytes of each such deletion were not acknowledged until 79cf56888 (2018-03-08, 5.5)",
            needs: "flow control, DCP_OPEN with flag 0x20 or collections, and a deletion",
            scenario: "mb-28502",
            finding: "consumer-acknowledges",
        }

        Mb59474 = "mb-59474" {
            does: "acknowledges 0 bytes when five seconds have passed and there is nothing to give back",
            history: "MB-59474: BUFFER_ACK of 0 bytes was sent until f8ff08af6 (2023-11-23, 7.6)",
            needs: "flow control, and five seconds without a message",
            scenario: "mb-59474",
            finding: "g5-ack-of-something",
        }

        Mb72652 = "mb-72652" {
            does: "does not count framing extras, so that 3 bytes of each message with a stream id are never given back",
            history: "MB-72652: of frames with a stream id 3 bytes were never acknowledged by a node until it refused them, 387b6dc7d (2026-07-01)",
            needs: "flow control, and stream ids: a client that has agreed on them, or a node that is sent one",
            scenario: "mb-72652",
            finding: "consumer-acknowledges",
        }

        Mb34850 = "mb-34850" {
            does: "has no stream left once it was told to close it, and answers what still comes of it as of a stream that is gone",
            history: "MB-34850: frames forwarded after CLOSE_STREAM were answered KeyEnoent, and a rebalance failed, until 840c1948e (2019-07-11, 6.5) kept the stream until STREAM_END",
            needs: "an era from 2019-07 on, and a message behind CLOSE_STREAM to the node",
            scenario: "mb-34850",
            finding: "consumer-answers",
        }

        Mb34951 = "mb-34951" {
            does: "answers the DCP_STREAM_END of a closed stream whose vbucket was added again as of a stream that is gone",
            history: "MB-34951: the old STREAM_END was answered KeyEnoent until 702c0b0ea (2019-07-11, 6.5)",
            needs: "an era from 2019-07 on, CLOSE_STREAM and ADD_STREAM to the node, and then the old stream's STREAM_END",
            scenario: "mb-34951",
            finding: "consumer-answers",
        }

        Mb42256 = "mb-42256" {
            does: "closes the connection on a response to DCP_SEQNO_ACKNOWLEDGED",
            history: "MB-42256: an error in answer to SEQNO_ACK (the vbucket was deleted at the producer) closed the consumer's connection until 30a1c9e91 (2020-10-30, 6.6.2)",
            needs: "an era from 6.6 on, and an error in answer to DCP_SEQNO_ACKNOWLEDGED",
            scenario: "mb-42256",
            finding: "consumer-kept",
        }

        Mb22241 = "mb-22241" {
            does: "looks up the answers to its controls among its streams, finds none, and closes the connection",
            history: "MB-22241: control responses were looked up in the stream table (unknown opaque) until 8675dcb7e (2017-01-10, 5.0)",
            needs: "nothing: the first answer to a control",
            scenario: "mb-22241",
            finding: "consumer-kept",
        }

        Mb69524 = "mb-69524" {
            does: "sends its controls one by one, each after the answer to the last, and a DCP_STREAM_REQ in between",
            history: "MB-69524: ADD_STREAM raced with the negotiation of controls until 6616c54f1 (2025-11-27)",
            needs: "DCP_ADD_STREAM to the node before all its controls are answered: the answers delayed",
            scenario: "mb-69524",
            finding: "a16-controls-first",
        }

        Mb41024 = "mb-41024" {
            does: "reports the end of a snapshot twice where its last message is a DCP_PREPARE",
            history: "MB-41024: a prepare that was tried again under memory pressure did so until b1dea0bf5 (2020-08-24, 6.6.2)",
            needs: "sync writes, and a snapshot whose marker asks for an answer and whose last message is a prepare",
            scenario: "mb-41024",
            finding: "consumer-answers",
        }

        Mb17766 = "mb-17766" {
            does: "keeps the stream of a vbucket that is made active by SET_VBUCKET: what still comes of it is answered with NotMyVbucket, as \
                the active vbucket takes nothing, and markers with nothing",
            history: "MB-17766: a passive stream survived the promotion of its vbucket until 7e1a12fda (2016-01-30, 4.5)",
            needs: "SET_VBUCKET active on the consumer's connection, and a message of the stream behind it",
            scenario: "mb-17766",
            finding: "consumer-answers",
        }

        LateStreamAnswer = "late-stream-answer" {
            does: "has no stream left if it is told to close it before its DCP_STREAM_REQ is answered, and closes the connection on that answer",
            history: "made up, after what every node does whose vbucket goes before the answer (orphaned-responses.md §3, §7 i)",
            needs: "an era from 2019-07 on, and CLOSE_STREAM to the node between its DCP_STREAM_REQ and the answer",
            scenario: "response-crosses-close",
            finding: "consumer-kept",
        }

        MuteNoop = "mute-noop" {
            does: "answers no DCP_NOOP",
            history: "made up: a client that does not know DCP_NOOP, or is busy, is taken for dead by a producer (dcp-protocol.md §6)",
            needs: "a DCP_NOOP",
            scenario: "consumer-noops",
            finding: "consumer-answers",
        }

        NoopTwice = "noop-twice" {
            does: "answers each DCP_NOOP twice",
            history: "made up: producers of most eras close on an answer to a DCP_NOOP that they do not await (orphaned-responses.md §5.5)",
            needs: "a DCP_NOOP",
            scenario: "consumer-noops",
            finding: "consumer-answers",
        }

        GoDcp151 = "go-dcp-151" {
            does: "does nothing for good with a stream whose DCP_STREAM_END has a reason that it has no name for (5 and above), and is healthy otherwise",
            history: "Trendyol/go-dcp PR 151 (2026-06-06): vbuckets stopped silently after an end whose reason was not in a list of five; only a restart helped",
            needs: "a DCP_STREAM_END with reason 5, 6 or an unknown one",
            scenario: "go-dcp-151",
            finding: "consumer-carries-on",
        }

        SyncGateway5597 = "sync-gateway-5597" {
            does: "requests a stream that ended inside a snapshot again from the snapshot's end, so that what lies between is lost",
            history: "sync_gateway PR 5597: skipped seqnos when a feed was closed in mid flow",
            needs: "a DCP_STREAM_END that is no normal one inside a snapshot",
            scenario: "sync-gateway-5597",
            finding: "consumer-carries-on",
        }

        SyncGateway969 = "sync-gateway-969" {
            does: "ignores DCP_STREAM_END",
            history: "sync_gateway issue 969: the end of a stream was ignored, and nothing came any more",
            needs: "a DCP_STREAM_END that is no normal one",
            scenario: "sync-gateway-969",
            finding: "consumer-carries-on",
        }

        KafkaConnector8 = "kafka-connector-8" {
            does: "stops to acknowledge after 256 KiB",
            history: "couchbase-kafka-connector issue 8: stalled after some 700,000 messages, as flow control was not kept up",
            needs: "flow control, and more than 256 KiB",
            scenario: "kafka-connector-8",
            finding: "consumer-acknowledges",
        }

        KafkaConnector11 = "kafka-connector-11" {
            does: "counts DCP_STREAM_ENDs of whatever reason, and closes the connection once it has counted as many as it has vbuckets",
            history: "couchbase-kafka-connector issue 11: counting STREAM_END lost mutations",
            needs: "as many DCP_STREAM_ENDs with another reason than Ok as vbuckets, while another stream is open",
            scenario: "kafka-connector-11",
            finding: "consumer-kept",
        }

        JavaDcpClient10 = "java-dcp-client-10" {
            does: "does not follow a rollback, and requests the stream again at once from where it was refused",
            history: "java-dcp-client issue 10: a storm of rollbacks",
            needs: "a rollback in answer to each DCP_STREAM_REQ that asks for more than is to be had",
            scenario: "java-dcp-client-10",
            finding: "consumer-carries-on",
        }
    }
}
