#!/usr/bin/env python3
"""Proxies and toxics made and removed over the API, by the thousand, while traffic flows through a proxy that nobody touches.

A round makes its proxies, ten toxics for each, changes and removes them (every other proxy goes with its toxics still there);
some proxies have a connection open meanwhile. After each round the process must be as it was before the first: descriptors,
listeners, threads, tasks; its memory must not have grown since the second round, in which everything has been done before.
What crosses the untouched proxy, random bytes and random frames, both ways, must be the same on both sides of it.

    churn.py --dcproxy target/debug/dcproxy [--long] [--proxies N] [--rounds N]

Prints a line a round. Exits 1 where something is left or a byte is not the same.
"""

import argparse
import concurrent.futures
import hashlib
import http.client
import json
import multiprocessing
import os
import queue
import random
import re
import socket
import struct
import sys
import threading
import time

from scenarios import Listener

TOXICS = [
    ("latency", "upstream", {"latency": 20, "jitter": 5}),
    ("latency", "downstream", {"latency": 20}),
    ("bandwidth", "upstream", {"rate": 100}),
    ("bandwidth", "downstream", {"rate": 100}),
    ("slow_close", "downstream", {"delay": 100}),
    ("slicer", "upstream", {"average_size": 100, "size_variation": 50, "delay": 10}),
    ("limit_data", "downstream", {"bytes": 1_000_000}),
    ("timeout", "downstream", {"timeout": 60_000}),
    ("dcp_close_stream", "downstream", {}),
    ("dcp_drop", "downstream", {"when": "dcp.opcode == mutation", "nth": 1000}),
]
THREADS = 4
CONNECTED = 10  # one proxy in so many has a connection open
SETTLES = 10.0  # seconds until what is torn down is gone
# What the process may have more of after the last round than after the second: its allocator keeps what it likes.
RSS_SLACK = 0.10
HEADER = struct.Struct(">BBHBBHIIQ")


# --- traffic, in a process of its own


def chunks_of_bytes(source):
    while True:
        yield source.randbytes(source.randrange(1, 16_384))


def chunks_of_frames(source):
    """Frames with random fields and lengths that agree, cut anywhere."""
    rest = b""
    while True:
        while len(rest) < 8192:
            keys, extras, value = source.randrange(40), source.randrange(40), source.randrange(200)
            magic = source.choice([0x80, 0x81])
            fields = [source.randrange(256), keys, extras, 0, source.randrange(16), keys + extras + value, source.randrange(64)]
            rest += HEADER.pack(magic, *fields, 0) + source.randbytes(keys + extras + value)
        cut = source.randrange(1, len(rest))
        yield rest[:cut]
        rest = rest[cut:]


FLOOD = 60  # times a MiB or so


class Flow:
    """One direction of a connection: what was sent, and what arrived."""

    def __init__(self, seed, kind, sender, receiver):
        self.chunks = kind(random.Random(seed))
        self.ends = sender, receiver
        self.sent, self.arrived = hashlib.sha256(), hashlib.sha256()
        self.sent_bytes = self.arrived_bytes = 0
        self.error = None
        self.floods, self.flooded = kind is chunks_of_frames, threading.Event()

    def send(self, stopped):
        try:
            if self.floods:
                # What is remembered of a connection is bounded: it is to be full before rounds are compared.
                self.send_one(b"".join(next(self.chunks) for _ in range(200)), FLOOD)
            self.flooded.set()
            while not stopped.wait(0.01):
                self.send_one(next(self.chunks))
            self.ends[0].shutdown(socket.SHUT_WR)
        except OSError as error:
            self.error = f"sending: {error}"

    def send_one(self, chunk, times=1):
        for _ in range(times):
            self.ends[0].sendall(chunk)
            self.sent.update(chunk)
            self.sent_bytes += len(chunk)

    def receive(self):
        try:
            while data := self.ends[1].recv(65536):
                self.arrived.update(data)
                self.arrived_bytes += len(data)
        except OSError as error:
            self.error = f"receiving: {error}"

    def wrong(self):
        if self.error:
            return self.error
        if (self.sent_bytes, self.sent.digest()) != (self.arrived_bytes, self.arrived.digest()):
            return f"sent {self.sent_bytes} bytes {self.sent.hexdigest()}, arrived {self.arrived_bytes} {self.arrived.hexdigest()}"
        return None if self.sent_bytes else "nothing was sent"


def ping(connection, echo, stopped, times):
    """How long a byte takes to the other side and back, again and again."""

    def answer():
        while data := echo.recv(1):
            echo.sendall(data)

    threading.Thread(target=answer, daemon=True).start()
    while not stopped.wait(0.01):
        began = time.monotonic()
        connection.sendall(b"?")
        if not connection.recv(1):
            return times.append(None)
        times.append(time.monotonic() - began)


def traffic(control, listener):
    """Told the proxy's address, sends through it until told to stop; tells what came of it."""
    address = control.recv()

    def pair():
        dialled = socket.create_connection(address)
        accepted, _ = listener.accept()
        for end in (dialled, accepted):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return dialled, accepted

    stopped, times, threads, flows = threading.Event(), [], [], {}
    for seed, (name, kind) in enumerate({"bytes": chunks_of_bytes, "frames": chunks_of_frames}.items()):
        ends = pair()
        for way, (sender, receiver) in {"up": ends, "down": ends[::-1]}.items():
            flow = flows[name, way] = Flow(2 * seed + (way == "up"), kind, sender, receiver)
            threads += [threading.Thread(target=flow.send, args=(stopped,)), threading.Thread(target=flow.receive)]
    threads.append(threading.Thread(target=ping, args=(*pair(), stopped, times)))
    for thread in threads:
        thread.start()
    for flow in flows.values():
        flow.flooded.wait(60)
    control.send("flows")
    control.recv()
    stopped.set()
    for thread in threads:
        thread.join(30)
    wrong = [f"{name} {way}: {flow.wrong()}" for (name, way), flow in flows.items() if flow.wrong()]
    if not times or None in times:
        wrong.append(f"pings: the connection ended after {len(times)}")
    times = sorted(filter(None, times)) or [0]
    control.send({
        "bytes": sum(flow.arrived_bytes for flow in flows.values()), "wrong": wrong, "pings": len(times),
        "median_ms": round(times[len(times) // 2] * 1000, 2), "p99_ms": round(times[len(times) * 99 // 100] * 1000, 2),
        "longest_ms": round(times[-1] * 1000, 1),
    })  # fmt: skip


# --- the API


class Api:
    """One connection, kept."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.connection = http.client.HTTPConnection(host, int(port), timeout=60)
        self.requests = 0

    def call(self, method, path, body=None, expect=200):
        headers = {} if body is None else {"Content-Type": "application/json"}
        self.connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
        answer = self.connection.getresponse()
        data = answer.read()
        self.requests += 1
        if answer.status != expect:
            raise OSError(f"{method} {path}: expected {expect}, found {answer.status} {data[:200]!r}")
        return data


def churn(api, name, upstream, at, toxics):
    """One proxy from its making on; gives what is left to do, for all are to be there at once."""
    path = f"/proxies/{name}"
    proxy = json.loads(api.call("POST", "/proxies", {"name": name, "listen": "127.0.0.1:0", "upstream": upstream}, 201))
    connection = None
    if at % CONNECTED == 0:
        host, port = proxy["listen"].rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout=30)
        connection.sendall(b"x" * 1000)
    for kind, stream, attributes in toxics:
        api.call("POST", f"{path}/toxics", {"type": kind, "stream": stream, "attributes": attributes})
    api.call("POST", f"{path}/toxics/latency_upstream", {"attributes": {"latency": at % 50}})
    if at % 7 == 0:
        api.call("POST", path, {"enabled": False})
        api.call("POST", path, {"enabled": True})

    def remove(api):
        if at % 2 == 0:
            for kind, stream, _ in toxics:
                api.call("DELETE", f"{path}/toxics/{kind}_{stream}", expect=204)
        api.call("DELETE", path, expect=204)
        if connection is not None:
            connection.close()

    return remove


# --- what the process has


class Process:
    def __init__(self, pid, api):
        self.folder, self.api = f"/proc/{pid}", api

    def sockets(self):
        for entry in os.listdir(f"{self.folder}/fd"):
            try:
                target = os.readlink(f"{self.folder}/fd/{entry}")
            except FileNotFoundError:
                continue
            yield target

    def has(self):
        """Counts of what must be as it was."""
        # Asked first: a thread that writes them stays for a while.
        tasks = self.tasks()
        targets = list(self.sockets())
        inodes = {target[8:-1] for target in targets if target.startswith("socket:[")}
        listening = 0
        with open(f"{self.folder}/net/tcp", encoding="ascii") as table:
            for line in list(table)[1:]:
                fields = line.split()
                listening += fields[3] == "0A" and fields[9] in inodes
        return {"descriptors": len(targets), "listeners": listening, "threads": self.status("Threads"), **tasks}

    def status(self, key):
        with open(f"{self.folder}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(f"{key}:"))

    def tasks(self):
        """As the process itself counts them, where it does."""
        try:
            metrics = self.api.call("GET", "/metrics").decode()
        except OSError:
            return {}
        found = re.search(r"^dcproxy_tasks (\d+)", metrics, re.MULTILINE)
        return {"tasks": int(found[1])} if found else {}

    def settled(self, as_before):
        """What it has, once that is as before, or the time is up."""
        deadline = time.monotonic() + SETTLES
        while (has := self.has()) != as_before and time.monotonic() < deadline:
            time.sleep(0.05)
        return has


def run(options):
    upstream = socket.create_server(("127.0.0.1", 0), backlog=1024)
    discard = socket.create_server(("127.0.0.1", 0), backlog=1024)
    threading.Thread(target=swallow, args=(discard,), daemon=True).start()
    control, child = multiprocessing.Pipe()
    flowing = multiprocessing.Process(target=traffic, args=(child, upstream), daemon=True)
    flowing.start()
    server = Listener([options.dcproxy, "serve", "--api", "127.0.0.1:0"], "api listening on ")
    wrong = []
    try:
        address = server.wait_for_address()
        apis = [Api(address) for _ in range(THREADS)]
        quiet = {"name": "quiet", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:%d" % upstream.getsockname()[1]}
        listen = json.loads(apis[0].call("POST", "/proxies", quiet, 201))["listen"]
        control.send(("127.0.0.1", int(listen.rsplit(":", 1)[1])))
        assert control.recv() == "flows"
        for api in apis:
            api.call("GET", "/version")
        process = Process(server.process.pid, apis[0])
        # Threads for what blocks come when they are needed, and stay.
        before, memory = process.has(), []
        print(f"before: {json.dumps(before)}, {process.status('VmRSS')} KiB", flush=True)
        for number in range(1, options.rounds + 1):
            began, requests = time.monotonic(), sum(api.requests for api in apis)
            play(apis, options.proxies, "127.0.0.1:%d" % discard.getsockname()[1])
            took, requests = time.monotonic() - began, sum(api.requests for api in apis) - requests
            has = process.settled(before)
            memory.append(process.status("VmRSS"))
            if has != before:
                wrong.append(f"after round {number}: expected {before}, found {has}")
            print(
                f"round {number}: {options.proxies} proxies, {options.proxies * len(TOXICS)} toxics, {requests} requests in {took:.1f} s "
                f"({requests / took:.0f}/s), {memory[-1]} KiB",
                flush=True,
            )
        left = json.loads(apis[0].call("GET", "/proxies"))
        if set(left) != {"quiet"} or left["quiet"]["toxics"]:
            wrong.append(f"expected the quiet proxy alone, found {sorted(left)[:5]}")
        if len(memory) > 2 and memory[-1] > memory[1] * (1 + RSS_SLACK):
            wrong.append(f"expected no more memory than {memory[1]} KiB after round 2 (and {RSS_SLACK:.0%}), found {memory}")
        control.send("stop")
        said = control.recv()
        wrong += said.pop("wrong")
        print(f"traffic: {json.dumps(said)}", flush=True)
        if server.process.poll() is not None:
            wrong.append("the process has ended")
    except (OSError, EOFError, queue.Empty, http.client.HTTPException) as error:
        wrong += [f"{type(error).__name__}: {error}", *server.lines[-5:]]
    finally:
        server.end()
        flowing.kill()
    return wrong


def swallow(listener):
    """The upstream of the proxies that are churned: reads what it is sent."""

    def read(connection):
        try:
            while connection.recv(65536):
                pass
        except OSError:
            pass
        connection.close()

    while True:
        connection, _ = listener.accept()
        threading.Thread(target=read, args=(connection,), daemon=True).start()


def play(apis, proxies, upstream):
    """A round: all are made, by several at once, before the first is removed."""
    with concurrent.futures.ThreadPoolExecutor(len(apis)) as pool:

        def share(work):
            return list(pool.map(work, range(len(apis))))

        def make(at):
            return [churn(apis[at], f"churn-{n}", upstream, n, TOXICS) for n in range(at, proxies, len(apis))]

        removes = share(make)
        share(lambda at: [remove(apis[at]) for remove in removes[at]])


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dcproxy", required=True)
    parser.add_argument("--long", action="store_true", help="a thousand proxies at a time, not in all")
    parser.add_argument("--proxies", type=int, help="of each round (200, or 1000 with --long)")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    options.proxies = options.proxies or (1000 if options.long else 200)
    wrong = run(options)
    print("FAIL" if wrong else "ok", *wrong, sep="\n      ", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
