#!/usr/bin/env python3
"""memcached behind the proxy, byte for byte, by its binary protocol and its text protocol, under load.

The same seeded conversations are held with one memcached directly and with another through the proxy: every byte of the answers
must be the same (each memcached is fresh, so that its CAS values are too). Then many at once, with a tap on each side of the
proxy: what went in on one side came out on the other. Then the tools of libmemcached, which check the answers themselves. Last
the same with a scenario armed, which must let all of it alone and come to no verdict, for there is no DCP.

    memcached.py --dcproxy target/debug/dcproxy [--seed N]
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import scenarios

MIB = 1 << 20
TOGETHER = 24  # connections at once
FAR = 3600  # no expiration comes near while this runs

GET, SET, ADD, REPLACE, DELETE, INCREMENT, DECREMENT, QUIT = range(8)
GETQ, NOOP, VERSION, GETK, GETKQ, APPEND, PREPEND = 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F
QUIET = {SET: 0x11, ADD: 0x12, REPLACE: 0x13, DELETE: 0x14, INCREMENT: 0x15, DECREMENT: 0x16, APPEND: 0x19, PREPEND: 0x1A}
TOUCH, GAT, GATQ, GATK, GATKQ = 0x1C, 0x1D, 0x1E, 0x23, 0x24
UNKNOWN = [0x20, 0x35, 0x50, 0x53, 0x65, 0xB5, 0xFE]  # no commands of memcached, some of DCP's; of a body it waits for more


def request(opcode, opaque, key=b"", extras=b"", value=b"", cas=0):
    head = struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(key) + len(extras) + len(value), opaque, cas)
    return head + extras + key + value


def value(chance, sizes):
    """A number or any bytes; one of a hundred is of `sizes`."""
    roll = chance.random()
    if roll < 0.2:
        return str(chance.randrange(1 << 40)).encode()
    return chance.randbytes(chance.choice(sizes) if roll > 0.99 else int(chance.paretovariate(0.8) * 8) % 3000)


def counted(chance, keys, counters):
    """Whether to add, and to what. A key that is read as well is never made smaller: for then memcached pads it with spaces,
    or does not, as the answer to an earlier read is under way or out."""
    return (True, chance.choice(keys)) if chance.random() < 0.5 else (chance.random() < 0.5, chance.choice(counters))


def binary(chance, name, count, sizes, alone):
    """Pipelined requests of every kind, quiet ones among them. Where others write too, no CAS can be told beforehand."""
    keys = [f"{name}:{'k' * (n % 200)}{n}".encode() for n in range(150)]
    counters = [f"{name}:c{n}".encode() for n in range(20)]
    for opaque in range(count):
        key, quiet = chance.choice(keys), chance.random() < 0.4
        cas = chance.randrange(1, opaque + 2) if alone and chance.random() < 0.1 else 0
        kind = chance.choices(["write", "read", "join", "count", "delete", "touch", "other"], [30, 35, 6, 10, 5, 6, 4])[0]
        if kind == "write":
            opcode = chance.choice([SET, SET, SET, ADD, REPLACE])
            extras = struct.pack(">II", chance.getrandbits(32), chance.choice([0, FAR]))
            yield request(QUIET[opcode] if quiet else opcode, opaque, key, extras, value(chance, sizes), cas)
        elif kind == "read":
            yield request(chance.choice([GETQ, GETKQ] if quiet else [GET, GETK]), opaque, key)
        elif kind == "join":
            opcode = chance.choice([APPEND, PREPEND])
            yield request(QUIET[opcode] if quiet else opcode, opaque, key, b"", value(chance, [5000]))
        elif kind == "count":
            adds, key = counted(chance, keys, counters)
            opcode = INCREMENT if adds else DECREMENT
            extras = struct.pack(">QQI", chance.getrandbits(30), chance.getrandbits(60), chance.choice([0, 0xFFFFFFFF]))
            yield request(QUIET[opcode] if quiet else opcode, opaque, key, extras, b"", cas)
        elif kind == "delete":
            yield request(QUIET[DELETE] if quiet else DELETE, opaque, key, b"", b"", cas)
        elif kind == "touch":
            yield request(chance.choice([GATQ, GATKQ] if quiet else [TOUCH, GAT, GATK]), opaque, key, struct.pack(">I", FAR))
        elif chance.random() < 0.5:
            yield request(chance.choice([NOOP, VERSION]), opaque)
        else:
            yield request(chance.choice(UNKNOWN), opaque)
    yield request(NOOP, 0xFFFFFFFE)


def text(chance, name, count, sizes, alone):
    """Commands of the text protocol and of its meta commands, in which the proxy finds no frames."""
    keys = [f"{name}:{n}".encode() for n in range(150)]
    counters = [f"{name}:c{n}".encode() for n in range(20)]
    yield from (b"set %s 0 0 8\r\n12345678\r\n" % counter for counter in counters)
    for _ in range(count):
        key, quiet = chance.choice(keys), b" noreply" if chance.random() < 0.3 else b""
        kind = chance.choices(["write", "read", "count", "delete", "meta", "other"], [30, 35, 10, 8, 14, 3])[0]
        if kind == "write":
            body = value(chance, sizes)
            verb = chance.choice([b"set", b"set", b"add", b"replace", b"append", b"prepend"])
            yield b"%s %s %d %d %d%s\r\n%s\r\n" % (verb, key, chance.getrandbits(32), FAR, len(body), quiet, body)
        elif kind == "read":
            yield b"%s %s\r\n" % (chance.choice([b"get", b"gets"] if alone else [b"get"]), b" ".join(chance.sample(keys, 1 + chance.randrange(5))))
        elif kind == "count":
            adds, key = counted(chance, keys, counters)
            yield b"%s %s %d%s\r\n" % (b"incr" if adds else b"decr", key, chance.getrandbits(30), quiet)
        elif kind == "delete":
            yield b"delete %s%s\r\n" % (key, quiet)
        elif kind == "meta":
            body = value(chance, [9000])
            yield chance.choice([b"mg %s v f s\r\n" % key, b"ms %s %d F7 T3600\r\n%s\r\n" % (key, len(body), body), b"mn\r\n"])
        else:
            yield chance.choice([b"version\r\n", b"nonsense %s\r\n" % key, b"touch %s 3600\r\n" % key])


class Conversation:
    """What one connection sends, and how it ends: with QUIT, or with its own direction alone closed."""

    def __init__(self, seed, kind, name, count, sizes, alone, quits):
        self.kind, self.count, self.quits, self.seed = kind, count, quits, seed
        chance = random.Random(f"{seed}/{name}")
        last = (request(QUIT, 0xFFFFFFFF) if kind is binary else b"quit\r\n") if quits else b""
        self.sent = b"".join(kind(chance, name, count, sizes, alone)) + last

    def hold(self, port):
        """Writes in pieces that heed no frame while it reads; gives all that came till the other end closed."""
        chance = random.Random(self.seed)
        with socket.create_connection(("127.0.0.1", port), timeout=30) as end:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def write():
                at, whole = 0, memoryview(self.sent)
                try:
                    while at < len(whole):
                        step = chance.choice([chance.randrange(1, 200), chance.randrange(1, 1 << 18)])
                        end.sendall(whole[at : at + step])
                        at += step
                    if not self.quits:
                        end.shutdown(socket.SHUT_WR)
                except OSError:
                    pass  # the reader sees the same

            writer = threading.Thread(target=write)
            writer.start()
            came = rest_of(end)
            writer.join()
        return came


def rest_of(end):
    """All that comes, and in words how it ended where that was not by the other end's close."""
    came = []
    try:
        while data := end.recv(1 << 17):
            came.append(data)
    except OSError as error:
        came.append(b"[%s]" % str(error).encode())
    return b"".join(came)


class Broken:
    """A request of the binary protocol, and behind its answer what begins with no magic: memcached hangs up."""

    sent = request(NOOP, 1) + b"\x42" * 24
    count = 2

    def hold(self, port):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as end:
            end.sendall(self.sent[:24])
            came = end.recv(24, socket.MSG_WAITALL)
            end.sendall(self.sent[24:])
            return came + rest_of(end)


class Tap:
    """Relays each connection to a port, and remembers of each direction how many bytes went by, and their hash."""

    def __init__(self, port):
        self.port_behind = port
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.seen = []  # of each connection: its two directions
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.port_behind))
            directions = [[0, hashlib.blake2b()], [0, hashlib.blake2b()]]
            pumps = [
                threading.Thread(target=self.pump, args=(one, other, seen), daemon=True)
                for one, other, seen in [(near, far, directions[0]), (far, near, directions[1])]
            ]
            self.seen.append((directions, pumps))
            for pump in pumps:
                pump.start()

    @staticmethod
    def pump(one, other, seen):
        for end in (one, other):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while data := one.recv(1 << 17):
                seen[0] += len(data)
                seen[1].update(data)
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # what got through is counted, and compared

    def total(self):
        """Sorted, as nothing else says which connection of the other tap is the same."""
        self.listener.close()
        for _, pumps in self.seen:
            for pump in pumps:
                pump.join(20)
        return sorted(tuple((count, digest.hexdigest()) for count, digest in directions) for directions, _ in self.seen)


class Stage:
    """Fresh memcacheds and proxies, ended with the block by their own pids."""

    def __init__(self, dcproxy, folder):
        self.dcproxy, self.folder = dcproxy, folder
        self.started, self.proxies = [], 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()

    def memcached(self):
        """Its port; it takes a free one and writes it into a file, as its own tests have it do."""
        path = os.path.join(self.folder, f"port{len(self.started)}")
        command = ["memcached", "-l", "127.0.0.1", "-p", "-1", "-U", "0", "-m", "512", "-M", "-I", "4m", "-c", "256", "-t", "2"]
        if os.getuid() == 0:
            command += ["-u", "root"]
        process = subprocess.Popen(command, env={**os.environ, "MEMCACHED_PORT_FILENAME": path}, stdin=subprocess.DEVNULL)
        self.started.append(process)
        # The file gets its name when it is complete.
        until = time.monotonic() + 20
        while not os.path.exists(path):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit("memcached does not listen")
            time.sleep(0.01)
        with open(path, encoding="ascii") as file:
            return int(re.search(r"TCP INET: (\d+)", file.read())[1])

    def proxy(self, port, *more):
        command = [self.dcproxy, "proxy", "--listen", "127.0.0.1:0", "--upstream", f"127.0.0.1:{port}", *more]
        listener = scenarios.Listener(command)
        self.started.append(listener.process)
        listener.port = int(listener.wait_for_address().rsplit(":", 1)[1])
        return listener


class Tally:
    """What was compared, what differed, and how it went."""

    def __init__(self):
        self.differences = 0

    def same(self, what, sent, requests, expected, found):
        said = ""
        if expected != found:
            self.differences += 1
            at = len(os.path.commonprefix([expected, found]))
            said = f", of {len(expected)}; at {at}: {expected[at:at + 24].hex()}, through the proxy {found[at:at + 24].hex()}"
        print(f"{'FAIL' if said else 'ok  '} {what}: {requests} requests, {sent} bytes sent, {len(found)} bytes received{said}", flush=True)

    def check(self, what, wrong):
        self.differences += bool(wrong)
        print(f"{'FAIL' if wrong else 'ok  '} {what}{': ' if wrong else ''}{wrong or ''}", flush=True)


def without_cas(answers):
    """The answers of the binary protocol, with nothing in place of the CAS: with others who write it is chance."""
    out, at = bytearray(answers), 0
    while at + 24 <= len(out):
        out[at + 16 : at + 24] = bytes(8)
        at += 24 + int.from_bytes(out[at + 8 : at + 12], "big")
    return bytes(out)


def one_by_one(stage, tally, seed, *more):
    """Each conversation alone: every byte is foretold."""
    large = [20_000, 300_000, MIB - 7, MIB, 5 * MIB]
    conversations = [
        ("binary, QUIT", Conversation(seed, binary, "a", 6000, large, True, True)),
        ("binary, half-closed", Conversation(seed, binary, "b", 6000, large, True, False)),
        ("text, quit", Conversation(seed, text, "c", 5000, large[:4], True, True)),
        ("text, half-closed", Conversation(seed, text, "d", 5000, large[:4], True, False)),
        ("binary, then none of it", Broken()),
    ]
    direct = stage.memcached()
    proxy = stage.proxy(stage.memcached(), *more)
    for name, conversation in conversations:
        expected, found = conversation.hold(direct), conversation.hold(proxy.port)
        tally.same(f"{name}{', armed' if more else ''}", len(conversation.sent), conversation.count, expected, found)
        if not expected or expected.endswith(b"]"):
            tally.check(f"{name}, without the proxy", f"{len(expected)} bytes: {expected[-60:]}")
    return proxy


def together(stage, tally, seed):
    """Many at once, with a tap on each side of the proxy."""
    conversations = [
        Conversation(seed, text if n % 4 == 3 else binary, f"t{n}", 2500, [30_000, 200_000, MIB], False, n % 2 == 0)
        for n in range(TOGETHER)
    ]
    behind = Tap(stage.memcached())
    proxy = stage.proxy(behind.port)
    before = Tap(proxy.port)
    direct = stage.memcached()
    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool:
        expected = list(pool.map(lambda one: one.hold(direct), conversations))
        began = time.monotonic()
        found = list(pool.map(lambda one: one.hold(before.port), conversations))
        took = time.monotonic() - began
    for number, (one, theirs, ours) in enumerate(zip(conversations, expected, found)):
        if one.kind is binary:
            theirs, ours = without_cas(theirs), without_cas(ours)
        if theirs != ours:
            tally.same(f"connection {number}", len(one.sent), one.count, theirs, ours)
    sent, received = sum(len(one.sent) for one in conversations), sum(len(one) for one in found)
    requests = sum(one.count for one in conversations)
    tally.check(
        f"{TOGETHER} connections at once: {requests} requests, {sent} bytes sent, {received} bytes received,"
        f" {(sent + received) / took / 1e6:.0f} MB/s, {requests / took:.0f} requests/s through taps and proxy",
        "" if sent > 20 * MIB and received > 20 * MIB else "too little for a load",
    )
    ends = sorted(
        ((len(one.sent), hashlib.blake2b(one.sent).hexdigest()), (len(came), hashlib.blake2b(came).hexdigest()))
        for one, came in zip(conversations, found)
    )
    into, out = before.total(), behind.total()
    counts = [sum(one[n][0] for one in seen) for n in (0, 1) for seen in (into, out)]
    tally.check(
        "taps: to memcached {} bytes before the proxy and {} behind it, back {} and {}".format(*counts),
        "" if ends == into == out else "not the same bytes",
    )
    return proxy


def tool(command, *expected):
    """Runs a tool of libmemcached; gives what is wrong with what it said."""
    run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    missing = [text for text in expected if text not in run.stdout]
    return f"{' '.join(command)} ended with {run.returncode}, without {missing}: {run.stdout[-600:]}" if run.returncode or missing else ""


def capable(port):
    """Its own tests of what a server can do, in both protocols; it waits at each quiet command."""
    return tool(["memccapable", "-h", "127.0.0.1", "-p", str(port)], "All tests passed", "binary stat", "ascii stat")


def loads(stage, tally):
    """libmemcached's load generators."""
    proxy = stage.proxy(stage.memcached())
    server = f"127.0.0.1:{proxy.port}"
    wrong = tool(["memcslap", f"--servers={server}", "--binary", "--concurrency=16", "--execute-number=500", "--test=set"], "8000 keys")
    tally.check("memcslap --binary: 16 threads", wrong)
    load = ["memcaslap", "-s", server, "-B", "-T", "2", "-c", "16", "-x", "20000", "-v", "1", "-b"]
    wrong = tool(load, "get_misses: 0\n", "verify_misses: 0\n", "verify_failed: 0\n", "cmd_get: 18000")
    tally.check("memcaslap --binary: 16 connections, 20000 commands, every value verified", wrong)
    return proxy


def end(tally, name, proxy, exit_code):
    proxy.process.send_signal(signal.SIGTERM)
    found = proxy.process.wait(timeout=30)
    tally.check(f"proxy {name}: exit code {found}", "" if found == exit_code else f"not {exit_code}: {proxy.lines[:10]}")


def without_dcp(path):
    """What is wrong with the report of an armed run without DCP: nothing may be done, and nothing concluded."""
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    found = [(finding["id"], finding["verdict"]) for finding in report["findings"]]
    wrong = [f"{report['verdict']}: {found}"] if report["verdict"] != "inconclusive" or found != [("evidence", "inconclusive")] else []
    done = ("findings", "steps", "orphans", "matrix")
    wrong += [f"connection {one['id']}: {name}: {one[name]}" for one in report["connections"] for name in done if one[name]]
    return "; ".join(wrong if report["connections"] else [*wrong, "no connection"])


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dcproxy", required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    tally, began = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Stage(options.dcproxy, folder) as stage, concurrent.futures.ThreadPoolExecutor() as pool:
        report, tested = (os.path.join(folder, name) for name in ("report.json", "tested.json"))
        armed = ["--scenario", "orphaned-responses", "--seed", str(options.seed), "--report"]
        plain_tests = stage.proxy(stage.memcached())
        armed_tests = stage.proxy(stage.memcached(), *armed, tested)
        capables = [pool.submit(capable, proxy.port) for proxy in (plain_tests, armed_tests)]
        alone = one_by_one(stage, tally, options.seed)
        armed_alone = one_by_one(stage, tally, options.seed, *armed, report)
        many = together(stage, tally, options.seed)
        loaded = loads(stage, tally)
        for name, run in zip(("", ", armed"), capables):
            tally.check(f"memccapable: binary and text{name}", run.result())
        for name, proxy in [("alone", alone), ("together", many), ("load", loaded), ("memccapable", plain_tests)]:
            end(tally, name, proxy, 0)
        for name, proxy, path in [("alone", armed_alone, report), ("memccapable", armed_tests, tested)]:
            end(tally, f"{name}, armed", proxy, 3)
            tally.check(f"report of {name}, armed: no verdict without DCP", without_dcp(path))
    print(f"memcached: differences: {tally.differences}, {time.monotonic() - began:.1f} s")
    return 1 if tally.differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
