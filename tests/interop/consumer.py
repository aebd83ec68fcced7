#!/usr/bin/env python3
"""A DCP consumer written from protocol/dcp-protocol.md alone, which watches over its producer as a careful client would.

It logs in, opens DCP, negotiates, asks for its streams, gives bytes back, and asks again for a stream that it is told is over
for another reason than its end. Whatever it is sent that no consumer should be sent is a violation:

  - a response to a question that it did not ask, or a second one, and requests that no producer sends;
  - a message of a stream that was never asked for, not answered yet, or told to be over; of another vbucket or stream id;
  - a seqno that does not increase, or lies outside of the snapshot that its marker announced;
  - more bytes in flight than the window allows (section 5: one message may lie beyond it);
  - part of a frame at the end of the connection.

With `--reference PORT` it then reads the same streams straight from the node, and compares message for message, all bytes but
the opaque: through the proxy nothing may be missing, repeated or changed.

Prints one JSON object. Exits 0 where it saw no violation, 1 where it did, 2 where it could not get as far as that.
"""

import argparse
import json
import socket
import struct
import sys
import time
import zlib

HEADER = struct.Struct(">BBHBBHIIQ")
ENDLESS = 0xFFFF_FFFF_FFFF_FFFF

REQUEST, FLEX_REQUEST, RESPONSE = 0x80, 0x08, 0x81
HELLO, SASL_AUTH, SELECT_BUCKET = 0x1F, 0x21, 0x89
OPEN, STREAM_REQ, STREAM_END, MARKER, MUTATION, DELETION, EXPIRATION = 0x50, 0x53, 0x55, 0x56, 0x57, 0x58, 0x59
NOOP, BUFFER_ACK, CONTROL, SYSTEM_EVENT, PREPARE, SEQNO_ACK, COMMIT, ABORT = 0x5C, 0x5D, 0x5E, 0x5F, 0x60, 0x61, 0x62, 0x63
SEQNO_ADVANCED = 0x64

NAMES = {
    STREAM_END: "stream_end", MARKER: "snapshot_marker", MUTATION: "mutation", DELETION: "deletion", EXPIRATION: "expiration",
    SYSTEM_EVENT: "system_event", PREPARE: "prepare", COMMIT: "commit", ABORT: "abort", SEQNO_ADVANCED: "seqno_advanced",
}  # fmt: skip

# Extras of each stream message (§4), the deletion's second form since it is asked for (§4.3).
EXTRAS = {
    STREAM_END: {4}, MARKER: {20, 1}, MUTATION: {31}, DELETION: {21}, EXPIRATION: {20}, SYSTEM_EVENT: {13}, PREPARE: {31},
    COMMIT: {16}, ABORT: {16}, SEQNO_ADVANCED: {8},
}  # fmt: skip

SUCCESS, ROLLBACK = 0x00, 0x23
STATE_CHANGED = 2


class Unable(Exception):
    """The set-up did not come about."""


class Frame:
    """A frame and its parts (§1)."""

    def __init__(self, data):
        magic, self.opcode, keys, extras, self.datatype, self.number, body, self.opaque, self.cas = HEADER.unpack_from(data)
        self.magic = magic
        self.data = data
        framing, key = (keys >> 8, keys & 0xFF) if magic in (0x08, 0x18) else (0, keys)
        self.framing = data[24 : 24 + framing]
        at = 24 + framing
        self.extras = data[at : at + extras]
        self.key = data[at + extras : at + extras + key]
        self.value = data[at + extras + key :]
        self.is_sound = framing + extras + key <= body

    def stream_id(self):
        """The only framing extra that a producer sends here: `22 hi lo` (§1.1)."""
        if len(self.framing) == 3 and self.framing[0] == 0x22:
            return struct.unpack(">H", self.framing[1:])[0]
        return None

    def seqno(self):
        """A commit and an abort give their own seqno second (§4.6)."""
        if self.opcode in (COMMIT, ABORT):
            return struct.unpack_from(">Q", self.extras, 8)[0]
        if self.opcode in (MARKER, STREAM_END):
            return None
        return struct.unpack_from(">Q", self.extras)[0]

    def charge(self):
        """What it costs of the window: its length, two more for a prepare (§5)."""
        return len(self.data) + (2 if self.opcode == PREPARE else 0)

    def fingerprint(self):
        """All of it but the opaque, which is each stream's own."""
        return zlib.crc32(self.data[16:], zlib.crc32(self.data[:12]))


class Stream:
    """What was received of a vbucket (and stream id) over all its generations, and where the current one stands."""

    def __init__(self, vbucket, sid):
        self.vbucket = vbucket
        self.sid = sid
        self.opaque = None
        self.state = "idle"  # idle -> asked -> open -> over, and asked again
        self.last = 0
        self.uuid = 0
        self.marker = None
        self.items = []  # (seqno, opcode, fingerprint)
        self.ends = []
        self.requests = 0
        self.prepared = 0

    def name(self):
        return str(self.vbucket) if self.sid is None else f"{self.vbucket}:{self.sid}"


class Consumer:
    """One connection."""

    def __init__(self, port, options):
        self.options = options
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=options.patience)
        self.buffer = bytearray()
        self.violations = []
        self.asked = {}  # (opcode, opaque) -> what the answer is for
        self.streams = {}
        self.by_opaque = {}
        self.counts = {}
        self.opaque = 0x1000
        self.charged = 0
        self.acknowledged = 0
        self.most_in_flight = 0
        self.noops = 0
        self.controls = {}
        self.freed = 0
        self.closed = None

    # --- bytes

    def wrong(self, text):
        if len(self.violations) < 50:
            self.violations.append(text)

    def send(self, opcode, vbucket=0, opaque=0, extras=b"", key=b"", value=b"", magic=REQUEST):
        body = len(extras) + len(key) + len(value)
        self.socket.sendall(
            HEADER.pack(magic, opcode, len(key), len(extras), 0, vbucket, body, opaque, 0) + extras + key + value
        )

    def ask(self, opcode, opaque=None, what=None, **parts):
        if opaque is None:
            self.opaque += 1
            opaque = self.opaque
        self.asked[opcode, opaque] = what
        self.send(opcode, opaque=opaque, **parts)
        return opaque

    def frames(self):
        """Whole frames that have been read so far, waiting for more where there is none."""
        while True:
            at = 0
            while len(self.buffer) - at >= 24:
                size = 24 + struct.unpack_from(">I", self.buffer, at + 8)[0]
                if len(self.buffer) - at < size:
                    break
                data = bytes(self.buffer[at : at + size])
                at += size
                yield Frame(data)
            del self.buffer[:at]
            yield None
            if self.options.slow:
                time.sleep(self.options.slow)
            data = self.socket.recv(4096 if self.options.slow else 65536)
            if not data:
                raise EOFError
            self.buffer += data

    # --- set-up (§2)

    def call(self, source, opcode, **parts):
        opaque = self.ask(opcode, **parts)
        for frame in source:
            if frame is None:
                continue
            if frame.magic == RESPONSE and (frame.opcode, frame.opaque) == (opcode, opaque):
                del self.asked[opcode, opaque]
                return frame
            self.receive(frame)
        raise Unable("no answer")

    def want(self, source, opcode, **parts):
        frame = self.call(source, opcode, **parts)
        if frame.number != SUCCESS:
            raise Unable(f"opcode {opcode:#x} was answered {frame.number:#x}")
        return frame

    def set_up(self, source, name):
        options = self.options
        features = [0x06, 0x07, 0x0B] + ([] if options.no_collections else [0x12]) + ([0x0A] if options.snappy else [])
        agreed = self.want(source, HELLO, key=b"consumer.py", value=struct.pack(f">{len(features)}H", *features))
        missing = set(features) - set(struct.unpack(f">{len(agreed.value) // 2}H", agreed.value))
        if missing:
            raise Unable(f"features refused: {sorted(missing)}")
        self.want(source, SASL_AUTH, key=b"PLAIN", value=b"\0Administrator\0password")
        self.want(source, SELECT_BUCKET, key=b"default")
        if options.stop == "before-open":
            return
        self.want(source, OPEN, extras=struct.pack(">II", 0, 0x01 | 0x04 | 0x20), key=name)
        controls = [("enable_noop", "true"), ("set_noop_interval", "1"), ("enable_expiry_opcode", "true")]
        if options.window:
            controls.append(("connection_buffer_size", str(options.window)))
        if not options.no_stream_end:
            controls.append(("send_stream_end_on_client_close_stream", "true"))
        controls += [("enable_stream_id", "true")] if options.stream_ids else []
        controls += [(options.sync, "true")] if options.sync else []
        controls += [("consumer_name", "consumer.py")] if options.replica else []
        controls += [("v7_dcp_status_codes", "true")] if options.v7 else []
        for key, value in controls:
            self.want(source, CONTROL, key=key.encode(), value=value.encode())

    # --- streams (§3)

    def add_streams(self):
        for vbucket in range(self.options.vbuckets):
            for sid in self.options.stream_ids or [None]:
                stream = Stream(vbucket, sid)
                self.streams[vbucket, sid] = stream
                self.request(stream)

    def request(self, stream):
        start, snap = stream.last, (stream.last, stream.last)
        if stream.marker and stream.marker[0] <= start < stream.marker[1]:
            snap = stream.marker[:2]
        stream.marker = None
        stream.requests += 1
        stream.state = "asked"
        flags = 0x04 if self.options.to_latest else 0
        extras = struct.pack(">IIQQQQQ", flags, 0, start, ENDLESS, stream.uuid, *snap)
        value = b"" if stream.sid is None else json.dumps({"sid": stream.sid}).encode()
        opaque = stream.vbucket if self.options.opaque_is_vbucket else None
        stream.opaque = self.ask(STREAM_REQ, opaque, stream, vbucket=stream.vbucket, extras=extras, value=value)
        self.by_opaque[stream.opaque] = stream

    def receive(self, frame):
        if not frame.is_sound:
            self.wrong(f"a frame whose parts exceed its body: {frame.data[:24].hex()}")
        elif frame.magic == RESPONSE:
            self.answered(frame)
        elif frame.magic not in (REQUEST, FLEX_REQUEST):
            self.wrong(f"magic {frame.magic:#x}: {frame.data[:24].hex()}")
        elif frame.opcode == NOOP:
            self.noops += 1
            self.send(NOOP, opaque=frame.opaque, magic=RESPONSE)
        elif frame.opcode in NAMES:
            self.count_bytes(frame)
            self.message(frame)
        else:
            self.wrong(f"no producer sends opcode {frame.opcode:#x}: {frame.data[:24].hex()}")

    def answered(self, frame):
        question = (frame.opcode, frame.opaque)
        if question not in self.asked:
            self.wrong(f"answer to a question that was not asked: {frame.data[:24].hex()}")
            return
        stream = self.asked.pop(question)
        if frame.opcode != STREAM_REQ:
            return
        if frame.number == SUCCESS and frame.value and len(frame.value) % 16 == 0:
            stream.uuid = struct.unpack_from(">Q", frame.value)[0]
            stream.state = "open"
        elif frame.number == ROLLBACK and len(frame.value) == 8:
            back = struct.unpack(">Q", frame.value)[0]
            if back >= stream.last:
                self.wrong(f"vbucket {stream.name()}: rolled back to {back} from {stream.last}")
            stream.items = [item for item in stream.items if item[0] <= back]
            stream.last = back
            self.request(stream)
        else:
            self.wrong(f"vbucket {stream.name()}: stream request answered {frame.number:#x}, {len(frame.value)} bytes")
            stream.state = "over"

    def count_bytes(self, frame):
        in_flight = self.charged - self.acknowledged
        if self.options.window and in_flight >= self.options.window:
            self.wrong(f"{in_flight} bytes in flight, and {frame.charge()} more, in a window of {self.options.window}")
        self.charged += frame.charge()
        self.most_in_flight = max(self.most_in_flight, self.charged - self.acknowledged)

    def give_back(self):
        """A fifth of the window, as kv_engine does."""
        freed = self.freed - self.acknowledged
        if self.options.window and freed > self.options.window // 5:
            self.acknowledged += freed
            self.send(BUFFER_ACK, extras=struct.pack(">I", freed))

    def message(self, frame):
        name = NAMES[frame.opcode]
        self.counts[name] = self.counts.get(name, 0) + 1
        self.freed = self.charged - (2 * self.counts.get("prepare", 0) if self.options.java_acks else 0)
        stream = self.by_opaque.get(frame.opaque)
        where = f"{name} {frame.data[:24].hex()}"
        if stream is None:
            return self.wrong(f"of no stream: {where}")
        if stream.opaque != frame.opaque or stream.state != "open":
            return self.wrong(f"of a stream that is {stream.state}: {where}")
        if frame.number != stream.vbucket or frame.stream_id() != stream.sid:
            return self.wrong(f"of vbucket {frame.number}, stream id {frame.stream_id()}, not {stream.name()}: {where}")
        if len(frame.extras) not in EXTRAS[frame.opcode]:
            return self.wrong(f"{len(frame.extras)} bytes of extras: {where}")
        if frame.opcode == MARKER:
            return self.marked(stream, frame)
        if frame.opcode == STREAM_END:
            return self.ended(stream, struct.unpack(">I", frame.extras)[0])
        seqno = frame.seqno()
        if seqno <= stream.last:
            self.wrong(f"vbucket {stream.name()}: seqno {seqno} after {stream.last}: {where}")
        if stream.marker is None or not stream.marker[0] <= seqno <= stream.marker[1]:
            self.wrong(f"vbucket {stream.name()}: seqno {seqno} outside of the snapshot {stream.marker}")
        stream.last = max(stream.last, seqno)
        stream.items.append((seqno, frame.opcode, frame.fingerprint()))
        if frame.opcode == PREPARE:
            stream.prepared = seqno
        if self.options.seqno_acks and stream.marker and seqno == stream.marker[1] and stream.prepared:
            extras = struct.pack(">Q", stream.prepared)
            self.send(SEQNO_ACK, vbucket=stream.vbucket, opaque=stream.opaque, extras=extras)

    def marked(self, stream, frame):
        long_form = len(frame.extras) == 1
        if long_form and (frame.extras != b"\0" or len(frame.value) != 36):
            return self.wrong(f"vbucket {stream.name()}: marker {frame.extras.hex()} of {len(frame.value)} bytes")
        if long_form != bool(self.options.replica and self.options.sync):
            self.wrong(f"vbucket {stream.name()}: marker of {len(frame.extras)} bytes of extras")
        start, end, flags = struct.unpack_from(">QQI", frame.value if long_form else frame.extras)
        if not start <= end or end <= stream.last:
            self.wrong(f"vbucket {stream.name()}: snapshot from {start} to {end} after seqno {stream.last}")
        if stream.marker and start <= stream.last:
            self.wrong(f"vbucket {stream.name()}: snapshot from {start} after seqno {stream.last}")
        if stream.marker is None and stream.last and start > stream.last + 1:
            self.wrong(f"vbucket {stream.name()}: goes on with a snapshot from {start} after seqno {stream.last}")
        stream.marker = (start, end, flags)

    def ended(self, stream, reason):
        stream.ends.append(reason)
        stream.state = "over"
        if reason == STATE_CHANGED and not self.options.never_reopen:
            self.request(stream)

    # --- the whole of it

    def run(self, name=b"consumer.py", until=None):
        """Reads until the other end closes, its streams are over, or `until` says so."""
        deadline = time.monotonic() + self.options.seconds
        source = self.frames()
        try:
            self.set_up(source, name)
            if self.options.stop == "before-open":
                time.sleep(0.3)
                self.closed = "self"
                return
            if self.options.stop != "before-streams":
                self.add_streams()
            else:
                deadline = time.monotonic() + 2.5
            received = 0
            for frame in source:
                if frame is None:
                    if self.is_done(deadline, until, received):
                        break
                    continue
                received += 1
                self.receive(frame)
                if self.options.messages and sum(self.counts.values()) >= self.options.messages:
                    break
                if frame.magic != RESPONSE and frame.opcode in NAMES:
                    self.give_back()
            self.closed = "self"
        except EOFError:
            self.closed = "fin"
            if self.buffer:
                self.wrong(f"closed within a frame: {len(self.buffer)} bytes of one")
        except (ConnectionError, TimeoutError) as error:
            self.closed = type(error).__name__
        finally:
            self.socket.close()

    def is_done(self, deadline, until, received):
        if time.monotonic() > deadline:
            return True
        if until is not None:
            return until(self)
        return bool(received and self.streams) and all(s.state == "over" for s in self.streams.values())


def compare(consumer, port, options):
    """Reads the same streams straight from the node, and gives what differs."""
    goals = {key: stream.items[-1][0] for key, stream in consumer.streams.items() if stream.items}
    plain = argparse.Namespace(**vars(options))
    plain.to_latest = plain.opaque_is_vbucket = plain.seqno_acks = plain.java_acks = False
    plain.slow = plain.messages = 0
    plain.window = 1 << 20
    reference = Consumer(port, plain)
    reference.run(b"reference", lambda it: all(it.streams[key].last >= goal for key, goal in goals.items()))
    differences = [f"reference: {text}" for text in reference.violations]
    for key, goal in goals.items():
        ours = consumer.streams[key].items
        theirs = [item for item in reference.streams[key].items if item[0] <= goal]
        if reference.streams[key].last < goal:
            differences.append(f"reference ended at {reference.streams[key].last}, before {goal}: {reference.closed}")
        if ours != theirs:
            at = next((n for n, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
            differences.append(
                f"vbucket {consumer.streams[key].name()}: {len(ours)} messages, {len(theirs)} straight from the node; the first "
                f"difference: {ours[at : at + 2]} where the node sent {theirs[at : at + 2]}"
            )
    return differences


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--reference", type=int, metavar="PORT", help="the node itself, to compare with")
    parser.add_argument("--vbuckets", type=int, default=4)
    parser.add_argument("--window", type=int, default=1 << 20, help="0: no flow control")
    parser.add_argument("--sync", default="enable_sync_writes", help="the control that asks for sync writes; empty: none")
    parser.add_argument("--no-replica", dest="replica", action="store_false", help="no consumer_name")
    parser.add_argument("--v7", action="store_true")
    parser.add_argument("--snappy", action="store_true")
    parser.add_argument("--no-collections", action="store_true")
    parser.add_argument("--no-stream-end", action="store_true")
    parser.add_argument("--stream-ids", type=int, nargs="*", default=[])
    parser.add_argument("--to-latest", action="store_true")
    parser.add_argument("--opaque-is-vbucket", action="store_true")
    parser.add_argument("--never-reopen", action="store_true")
    parser.add_argument("--seqno-acks", action="store_true")
    parser.add_argument("--java-acks", action="store_true", help="two bytes of each prepare are never given back")
    parser.add_argument("--slow", type=float, default=0, metavar="SECONDS", help="before each 4096 bytes")
    parser.add_argument("--messages", type=int, default=0, metavar="N", help="leaves after so many")
    parser.add_argument("--stop", choices=["before-open", "before-streams"])
    parser.add_argument("--seconds", type=float, default=45, help="leaves after so long")
    parser.add_argument("--patience", type=float, default=30, help="longest silence")
    return parser.parse_args(argv)


def main(argv):
    options = arguments(argv)
    consumer = Consumer(options.port, options)
    try:
        consumer.run()
    except Unable as error:
        print(json.dumps({"unable": str(error)}))
        return 2
    violations = consumer.violations
    differences = compare(consumer, options.reference, options) if options.reference and consumer.streams else []
    result = {
        "closed": consumer.closed,
        "counts": consumer.counts,
        "noops": consumer.noops,
        "most_in_flight": consumer.most_in_flight,
        "streams": {
            stream.name(): {"last": stream.last, "items": len(stream.items), "ends": stream.ends, "requests": stream.requests}
            for stream in consumer.streams.values()
        },
        "violations": violations,
        "differences": differences,
    }
    print(json.dumps(result))
    return 1 if violations or differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
