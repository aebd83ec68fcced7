#!/usr/bin/env python3
"""Compares `dcproxy decode -T jsonl` with tshark, frame by frame, on captures.

For each connection and direction both must see the same frames in the same order, and agree in opcode, vbucket or status,
key length, value length, opaque, CAS, stream id and every seqno. A frame that tshark complains of must be malformed for decode
too, unless the complaint is one of those where protocol/invariants.md section K says that tshark is wrong: these are coded
below with their number. Every other difference fails, and so does a frame that only one of them sees.

    tshark_compare.py --dcproxy target/debug/dcproxy captures/*.pcap captures/*.pcap.gz

With --filters it compares filters instead: each alias alone (is the field there?) and a handful of comparisons must match at the
same times in both. A filter of tshark's is asked of a packet, ours of a frame: so the frames of a packet are taken together.
"""

import argparse
import collections
import concurrent.futures
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import time

REQUESTS = {0x80, 0x08, 0x82}
RESPONSES = {0x81, 0x18, 0x83}

# protocol/dcp-protocol.md and the opcode_name of the vectors.
OPCODES = {
    0x00: "GET", 0x01: "SET", 0x02: "ADD", 0x03: "REPLACE", 0x04: "DELETE", 0x0A: "NOOP", 0x0B: "VERSION", 0x10: "STAT",
    0x1F: "HELLO", 0x20: "SASL_LIST_MECHS", 0x21: "SASL_AUTH", 0x22: "SASL_STEP", 0x3D: "SET_VBUCKET",
    0x3E: "GET_VBUCKET", 0x3F: "DEL_VBUCKET", 0x48: "GET_ALL_VB_SEQNOS", 0x50: "DCP_OPEN", 0x51: "DCP_ADD_STREAM",
    0x52: "DCP_CLOSE_STREAM", 0x53: "DCP_STREAM_REQ", 0x54: "DCP_GET_FAILOVER_LOG", 0x55: "DCP_STREAM_END",
    0x56: "DCP_SNAPSHOT_MARKER", 0x57: "DCP_MUTATION", 0x58: "DCP_DELETION", 0x59: "DCP_EXPIRATION",
    0x5B: "DCP_SET_VBUCKET_STATE", 0x5C: "DCP_NOOP", 0x5D: "DCP_BUFFER_ACK", 0x5E: "DCP_CONTROL",
    0x5F: "DCP_SYSTEM_EVENT", 0x60: "DCP_PREPARE", 0x61: "DCP_SEQNO_ACK", 0x62: "DCP_COMMIT", 0x63: "DCP_ABORT",
    0x64: "DCP_SEQNO_ADVANCED", 0x65: "DCP_OSO_SNAPSHOT", 0x66: "DCP_CACHE_TRANSFER", 0x67: "DCP_CACHE_TRANSFER_END",
    0x85: "CREATE_BUCKET", 0x89: "SELECT_BUCKET", 0x91: "OBSERVE_SEQNO", 0x96: "GET_FAILOVER_LOG",
    0xAD: "ENABLE_TRAFFIC", 0xB5: "GET_CLUSTER_CONFIG", 0xB9: "COLLECTIONS_SET_MANIFEST",
    0xBA: "COLLECTIONS_GET_MANIFEST", 0xC8: "SUBDOC_DICT_UPSERT", 0xFE: "GET_ERROR_MAP",
}  # fmt: skip

# protocol/status-codes.md, those that a DCP connection can carry.
STATUSES = {
    0x00: "Success", 0x01: "KeyEnoent", 0x02: "KeyEexists", 0x03: "E2big", 0x04: "Einval", 0x05: "NotStored",
    0x06: "DeltaBadval", 0x07: "NotMyVbucket", 0x08: "NoBucket", 0x09: "Locked", 0x0A: "DcpStreamNotFound",
    0x0B: "OpaqueNoMatch", 0x0C: "EWouldThrottle", 0x0D: "EConfigOnly", 0x0E: "NotLocked", 0x0F: "CasValueInvalid",
    0x1F: "AuthStale", 0x20: "AuthError", 0x21: "AuthContinue", 0x22: "Erange", 0x23: "Rollback", 0x24: "Eaccess",
    0x25: "NotInitialized", 0x50: "BucketPaused", 0x80: "UnknownFrameInfo", 0x81: "UnknownCommand", 0x82: "Enomem",
    0x83: "NotSupported", 0x84: "Einternal", 0x85: "Ebusy", 0x86: "Etmpfail", 0x87: "XattrEinval",
    0x88: "UnknownCollection", 0x8C: "UnknownScope", 0x8D: "DcpStreamIdInvalid", 0xA0: "DurabilityInvalidLevel",
    0xA1: "DurabilityImpossible", 0xA2: "SyncWriteInProgress", 0xA3: "SyncWriteAmbiguous",
    0xA4: "SyncWriteReCommitInProgress",
}  # fmt: skip

# tshark's field -> decode's member (design.md §4: the names of the vectors' `decoded`). Where a message names its own seqno
# otherwise, OWN_SEQNO says how.
SEQNOS = {
    "couchbase.extras.by_seqno": "by_seqno",
    "couchbase.extras.by_seqno_prepared": "prepared_seqno",
    "couchbase.extras.by_seqno_commit": "commit_seqno",
    "couchbase.extras.by_seqno_abort": "abort_seqno",
    "couchbase.extras.start_seqno": "start_seqno",
    "couchbase.extras.end_seqno": "end_seqno",
    "couchbase.extras.snap_start_seqno": "snap_start_seqno",
    "couchbase.extras.snap_end_seqno": "snap_end_seqno",
    "couchbase.extras.high_completed_seqno": "high_completed_seqno",
    "couchbase.extras.max_visible_seqno": "max_visible_seqno",
    "couchbase.extras.rev_seqno": "rev_seqno",
    "couchbase.flex_frame.frame.dcp_stream_id": "stream_id",
}
OWN_SEQNO = {"DCP_COMMIT": "commit_seqno", "DCP_SEQNO_ACK": "prepared_seqno"}
MEMBERS = sorted(set(SEQNOS.values()))

# Complaints of tshark about legal frames: number in section K, or the page -> (why it is wrong, what it says, of what).
COMPLAINTS = {
    "K3": ("a drop event has no key", r"System Event Request must have Key", lambda f: True),
    "K5": ("newer than tshark", r"Unknown opcode: 0x6[67]", lambda f: True),
    "K6": ("an error response may be empty", r"must have (Value|Extras)", lambda f: is_error(f)),
    "K7": ("6.5 and later: JSON with the consumer's name", r"Open Connection Request shall not have Value", lambda f: True),
    "K16": ("the note that a status is not Success", r"^[^:]+: ", lambda f: is_error(f)),
    "K, last line": ("its JSON dissector, on what is no JSON", r"^Trailing stray characters$", lambda f: True),
    "real-servers.md 5": ("a producer tolerates these", r"Response should not have extras", lambda f: is_error(f)),
    "set-up, extras": ("sub-document extras hold flags and expiry", r"Illegal Extras length", lambda f: f["opcode"].startswith("SUBDOC")),
    "set-up, bucket": ("kv_engine takes a last pair without one", r"terminated by semi-colon", lambda f: f["opcode"] == "CREATE_BUCKET"),
}

# Malformed frames that tshark lets pass -> (why, decode's reason).
UNFLAGGED = {
    "K18": ("it shows the value of a stream request as it is", r"value of DCP_STREAM_REQ"),
    "K, last lines": ("it does not flag a failover log of 0 bytes", r"failover log of a positive multiple of 16 bytes, found 0"),
}


# Filters that both must let through the same packets for: each about one field, see above.
FILTERS = [
    "couchbase.magic == 0x81", "couchbase.opcode == 0x57", "couchbase.opcode in {0x56, 0x60..0x63}", "couchbase.status == 0x01",
    "couchbase.status > 0", "couchbase.vbucket == 1", "couchbase.vbucket in {0..2}", "couchbase.key.length > 10",
    "couchbase.value.length >= 100", "couchbase.cas > 0", "couchbase.total_bodylength <= 24", "couchbase.extras.length == 31",
    "couchbase.extras.by_seqno > 10", "couchbase.extras.by_seqno_prepared == 2", "couchbase.extras.start_seqno == 0",
    "couchbase.extras.flags & 2", "couchbase.extras.bytes_to_ack > 100", "couchbase.key.collection_id == 8",
    'couchbase.key.logical_key contains "1" || couchbase.key contains "1"',
    'couchbase.key.logical_key matches "^K.*[0-9]$" || couchbase.key matches "^K.*[0-9]$"',
    "couchbase.key || couchbase.key.logical_key",
    "couchbase.hello.features.feature == 0x12", "couchbase.dcp.failover_log.seqno == 0",
]  # fmt: skip

# Packets in which the two need not agree on a field: alias -> (why, opcodes; none: in all).
KV = {"GET", "SET", "ADD", "REPLACE", "DELETE", "SUBDOC_DICT_UPSERT", "OBSERVE_SEQNO"}
UNLIKE = {
    "couchbase.dcp.failover_log": ("a heading, which has no value in tshark", None),
    "couchbase.vbucket_states": ("a heading, which has no value in tshark", None),
    "couchbase.xattrs": ("a heading, which has no value in tshark", None),
    "couchbase.extras.by_seqno_commit": ("tshark shows it as by_seqno", {"DCP_COMMIT"}),
    "couchbase.extras.by_seqno_prepared": ("tshark shows it as by_seqno", {"DCP_SEQNO_ACK"}),
    "couchbase.extras.high_completed_seqno": ("means nothing without the Disk flag", {"DCP_SNAPSHOT_MARKER"}),
    "couchbase.extras.flags": ("has a field of its own, or is of no DCP message", {"DCP_OSO_SNAPSHOT", *KV}),
    "couchbase.extras.expiration": ("is of no DCP message", KV),
    "couchbase.extras.vbucket_uuid": ("is of no DCP message", KV),
    "couchbase.key.collection_id": ("K2, names of connections, and it guesses who has collections", None),
    "couchbase.key.collection_id == 8": ("K2", {"DCP_SYSTEM_EVENT", "DCP_OPEN"}),
    # tshark takes the collection off the keys of KV requests, and off names (K2).
    'couchbase.key.logical_key matches "^K.*[0-9]$" || couchbase.key matches "^K.*[0-9]$"': ("K2, KV", {"DCP_SYSTEM_EVENT", "DCP_OPEN", *KV}),
    "couchbase.key || couchbase.key.logical_key": ("K2", {"DCP_SYSTEM_EVENT"}),
    # tshark has either couchbase.key or this, as the connection has collections or not; decode has both.
    "couchbase.key": ("see above", None),
    "couchbase.key.logical_key": ("see above", None),
}


def marker_without_hcs(field, theirs, ours):
    """The high completed seqno of a memory marker means nothing (the vector of marker v2.0 from memory says null)."""
    disk = 0x02
    return field == "high_completed_seqno" and ours.get(field) is None and not ours["flags"] & disk


def is_error(values):
    return values.get("status", "Success") != "Success"


class Frame:
    """What both sides are reduced to: names to values, as decode names them."""

    def __init__(self, values, where, complaints=()):
        self.values = values
        self.where = where
        self.complaints = list(complaints)


def number(text):
    return int(text, 0)


def name_of(table, value, digits=2):
    return table.get(value, f"0x{value:0{digits}x}")


def flat(node, into):
    """All leaves of a tshark layer, by name; a name that repeats keeps its first value."""
    for key, value in node.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                flat(one, into)
            else:
                into.setdefault(key, one)
    return into


def complaints(node):
    """All that tshark's experts say of a layer."""
    for key, value in node.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield from complaints(one)
            elif key == "_ws.expert.message" or key.startswith("_ws.malformed"):
                yield one


def packets(lines):
    """The packets of `tshark -T json`, one at a time: the whole file would not fit into memory comfortably."""
    held = []
    for line in lines:
        if line == "  {\n":
            held = []
        held.append(line)
        if line in ("  }\n", "  },\n"):
            yield json.loads("".join(held).rstrip(",\n"), object_pairs_hook=keep_repeated)


def keep_repeated(pairs):
    """tshark repeats a key for each frame of a packet; here a list, whatever the version's --no-duplicate-keys does."""
    out = {}
    for key, value in pairs:
        if key == "couchbase":
            out.setdefault(key, []).extend(value if isinstance(value, list) else [value])
        else:
            out.setdefault(key, value)
    return out


def tshark_command(path):
    """All of TCP is taken for the protocol: which ports a capture has is not asked for, since starting tshark is what takes long."""
    return ["tshark", "-r", path, "-o", "tcp.reassemble_out_of_order:TRUE", "-d", "tcp.port==1-65535,couchbase"]


SYN, ACK = 0x02, 0x10


def by_tshark(path):
    """{connection: {"client"|"server": [Frame]}} as tshark sees it."""
    command = [*tshark_command(path), "-Y", "couchbase || (tcp.flags.syn == 1 && tcp.flags.ack == 0)"]
    command += ["-T", "json", "--no-duplicate-keys", "-J", "frame tcp couchbase"]
    dialled = set()  # ports
    frames = []
    with tempfile.TemporaryFile("w+") as said, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=said, text=True
    ) as tshark:
        for packet in packets(tshark.stdout):
            layers = packet["_source"]["layers"]
            tcp = layers["tcp"]
            if number(tcp["tcp.flags"]) & (SYN | ACK) == SYN:
                dialled.add(tcp["tcp.dstport"])
            where = f"packet {layers['frame']['frame.number']}"
            for layer in layers.get("couchbase", []):
                fields = flat(layer, {})
                if "couchbase.opcode" in fields or "couchbase.server.opcode" in fields:
                    frame = Frame(tshark_values(fields), where, complaints(layer))
                    frames.append((int(tcp["tcp.stream"]), tcp["tcp.dstport"], frame))
        if tshark.wait():
            said.seek(0)
            raise SystemExit(f"{path}: tshark ended with {tshark.returncode}: {said.read().strip()}")
    seen = collections.defaultdict(lambda: {"client": [], "server": []})
    for stream, port, frame in frames:
        seen[stream]["client" if port in dialled else "server"].append(frame)
    return dict(seen)


def tshark_values(fields):
    magic = number(fields["couchbase.magic"])
    opcode = name_of(OPCODES, number(fields["couchbase.opcode"]))
    opaque = number(fields["couchbase.opaque"])
    values = {
        "magic": magic,
        "opcode": opcode,
        "key_len": int(fields["couchbase.key.length"]),
        "value_len": int(fields["couchbase.value.length"]),
        # K1: tshark reads the opaque little endian; turned back into the bytes of the wire.
        "opaque": "0x" + opaque.to_bytes(4, "little").hex(),
        "cas": number(fields["couchbase.cas"]),
    }
    if magic in RESPONSES:
        values["status"] = name_of(STATUSES, number(fields["couchbase.status"]))
    else:
        values["vbucket"] = int(fields["couchbase.vbucket"])
    for field, member in SEQNOS.items():
        if field in fields:
            own = OWN_SEQNO.get(opcode, member) if member == "by_seqno" else member
            values[own] = number(fields[field])
    return values


def by_decode(dcproxy, path):
    """The same as decode prints it."""
    run = subprocess.run([dcproxy, "decode", "-T", "jsonl", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if run.returncode:
        raise SystemExit(f"{path}: decode ended with {run.returncode}: {run.stderr.strip()}")
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    for at, line in enumerate(lines, 1):
        if line["frame"] != at:
            raise SystemExit(f"{path}: line {at} is frame {line['frame']}")
    clients = client_roles(lines)
    seen = collections.defaultdict(lambda: {"client": [], "server": []})
    for line in lines:
        sender = line["from"]
        if sender in ("producer", "consumer"):
            sender = "client" if clients[line["conn"]] == sender else "server"
        seen[line["conn"]][sender].append(Frame(decode_values(line), f"frame {line['frame']}"))
    return seen


def client_roles(lines):
    """{connection: what the end that dialled became}, from who said DCP_OPEN."""
    roles = {}
    for line in lines:
        if line["opcode"] == "DCP_OPEN" and line["conn"] not in roles and "flags" in line:
            roles[line["conn"]] = "consumer" if line["flags"] & 1 else "producer"
    return roles


def decode_values(line):
    values = {key: line[key] for key in ("opcode", "key_len", "value_len", "opaque", "cas")}
    if line["opcode"] == "DCP_SNAPSHOT_MARKER" and "flags" in line:
        values["flags"] = line["flags"]
    values["magic"] = number(line["magic"])
    end = "status" if values["magic"] in RESPONSES else "vbucket"
    values[end] = line[end]
    for member in MEMBERS:
        if line.get(member) is not None:
            values[member] = line[member]
    if line.get("malformed"):
        values["malformed"] = line["malformed_reason"]
    return values


def excuse(complaint, values):
    """The number of section K that says why tshark is wrong to complain, if there is one."""
    for key, (_, says, meant) in COMPLAINTS.items():
        if re.search(says, complaint) and meant(values):
            return key
    return None


class Comparison:
    def __init__(self):
        self.frames = 0
        self.values = 0
        self.differences = []
        self.excused = collections.Counter()
        self.malformed = 0

    def connection(self, label, tshark, decode):
        for sender in ("client", "server"):
            ours, theirs = decode[sender], tshark[sender]
            if len(ours) != len(theirs):
                self.differences.append(f"{label} {sender}: tshark has {len(theirs)} frames, decode {len(ours)}")
            for one, other in zip(theirs, ours):
                self.frame(f"{label} {sender} {one.where} / {other.where} {other.values['opcode']}", one, other)

    def frame(self, label, tshark, decode):
        self.frames += 1
        theirs, ours = tshark.values, decode.values
        malformed = ours.get("malformed")
        self.malformed += malformed is not None
        for field in sorted((set(theirs) | set(ours)) - {"malformed", "flags"}):
            # What is malformed has no members; tshark reads them where the header says, right or wrong.
            if malformed and field in MEMBERS:
                continue
            self.values += 1
            if theirs.get(field) == ours.get(field):
                continue
            if marker_without_hcs(field, theirs, ours):
                self.excused["vectors, memory marker"] += 1
                continue
            self.differences.append(f"{label}: {field}: tshark {theirs.get(field)}, decode {ours.get(field)}")
        unexcused = []
        for complaint in tshark.complaints:
            key = excuse(complaint, theirs)
            self.excused[key] += key is not None
            unexcused += [complaint] * (key is None)
        if unexcused and not malformed:
            self.differences.append(f"{label}: tshark complains, decode does not: {'; '.join(unexcused)}")
        if malformed and not unexcused:
            key = next((key for key, (_, reason) in UNFLAGGED.items() if re.search(reason, malformed)), None)
            self.excused[key] += key is not None
            if key is None:
                self.differences.append(f"{label}: malformed for decode alone: {malformed}")


def output(command):
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if run.returncode:
        raise SystemExit(f"{' '.join(command)}: ended with {run.returncode}: {run.stderr.strip()}")
    return run.stdout.splitlines()


def aliases(dcproxy):
    """Wireshark's names that decode knows and this tshark too."""
    ours = {alias for line in output([dcproxy, "decode", "--fields"]) for alias in line.split("\t")[3].split()}
    ours.add("couchbase.extras.by_seqno")
    theirs = {line.split("\t")[2] for line in output(["tshark", "-G", "fields"]) if line.count("\t") > 1}
    if ours - theirs:
        raise SystemExit(f"tshark does not know {sorted(ours - theirs)}")
    return sorted(ours)


def compare_filters(dcproxy, path):
    """Where each alias is, and what the filters match, by the times of the packets."""
    result, names = Comparison(), aliases(dcproxy)
    columns = [arg for name in names for arg in ("-e", name)]
    theirs = output(tshark_command(path) + ["-Y", "couchbase", "-T", "fields", "-e", "frame.time_epoch", *columns])
    ours = output([dcproxy, "decode", "-T", "fields", "--values", "-e", "frame.time", *columns, path])
    where = [collections.defaultdict(set), collections.defaultdict(set)]
    for side, lines in zip(where, (theirs, ours)):
        at = None
        for line in lines:
            # tshark does not escape an end of line in a key: what begins with no time goes on with the last line.
            if re.match(r"[0-9]+[.][0-9]{9}\t", line):
                at, *values = line.split("\t")
            else:
                values = [""] * (len(names) - line.count("\t")) + line.split("\t")[1:]
            for name, value in zip(names, values):
                if value:
                    side[name].add(at)
    opcodes, malformed = collections.defaultdict(set), set()
    for line in output([dcproxy, "decode", "-T", "fields", "-e", "frame.time,dcp.opcode,frame.malformed", path]):
        at, opcode, bad = line.split("\t")
        opcodes[at].add(opcode)
        if bad == "true":
            malformed.add(at)
    for name in names:
        result.frames += len(where[0][name])
        _, of = UNLIKE.get(name, ("", set()))
        differ = where[0][name] ^ where[1][name]
        # Of what is malformed decode says nothing but its header; tshark what it makes of it.
        differ = sorted(at for at in differ - malformed if of is not None and not opcodes[at] & of)
        if differ:
            only = "tshark" if differ[0] in where[0][name] else "decode"
            result.differences.append(f"{name}: {len(differ)} packets differ, at {differ[0]} only {only} has it: {opcodes[differ[0]]}")
    for text in FILTERS:
        theirs = set(output(tshark_command(path) + ["-Y", text, "-T", "fields", "-e", "frame.time_epoch"]))
        ours = set(output([dcproxy, "decode", "-T", "fields", "-e", "frame.time", "-Y", text, path]))
        result.values += len(theirs)
        of = set().union(*(UNLIKE[name][1] or () for name in UNLIKE if name == text or name in text.split()))
        differ = sorted(at for at in (theirs ^ ours) - malformed if not opcodes[at] & of)
        if differ:
            only = "tshark" if differ[0] in theirs else "decode"
            result.differences.append(f"{text}: {len(differ)} packets differ, at {differ[0]} only {only} matches: {opcodes[differ[0]]}")
    return result


def compare(dcproxy, path):
    result = Comparison()
    tshark, decode = by_tshark(path), by_decode(dcproxy, path)
    if len(tshark) != len(decode):
        result.differences.append(f"tshark has {len(tshark)} connections, decode {len(decode)}")
    for theirs, ours in zip(sorted(tshark), sorted(decode)):
        result.connection(f"connection {ours}", tshark[theirs], decode[ours])
    if not result.frames:
        result.differences.append("no frame was compared")
    return result


def timed(compared, dcproxy, path):
    began = time.monotonic()
    return compared(dcproxy, path), time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dcproxy", required=True, help="the binary")
    parser.add_argument("--show", type=int, default=10, help="differences printed for each capture")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="captures at once")
    parser.add_argument("--filters", action="store_true", help="compare filters instead of frames")
    parser.add_argument("captures", nargs="+")
    args = parser.parse_args()
    passed = failed = 0
    one = functools.partial(timed, compare_filters if args.filters else compare, args.dcproxy)
    with concurrent.futures.ProcessPoolExecutor(args.jobs) as pool:
        for path, (result, took) in zip(args.captures, pool.map(one, args.captures)):
            good = not result.differences
            passed, failed = passed + good, failed + (not good)
            excused = ", ".join(f"{key}: {count}" for key, count in sorted(result.excused.items(), key=str) if count)
            print(
                f"{'ok  ' if good else 'FAIL'} {os.path.basename(path)}: {result.frames} frames, {result.values} values,"
                f" {len(result.differences)} differences, {result.malformed} malformed; tshark wrong: {excused or 'never'};"
                f" {took:.1f} s",
                flush=True,
            )
            for line in result.differences[: args.show]:
                print(f"     {line}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
