#!/usr/bin/env python3
"""Each of toxiproxy's toxics, made over HTTP in `dcproxy serve`, measured over real sockets against its promise. All are
measured side by side, each on a proxy of its own, in some twelve seconds.

    toxics.py --dcproxy target/debug/dcproxy [PART OF A NAME ...]

Each measure prints what was promised and what was found; the exit code is 1 where one was not kept. What is to come at a
time may come SLACK later, and besides as much later as the machine, which may be busy, was found to wake a sleeper.
"""

import argparse
import concurrent.futures
import contextlib
import json
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

# Seconds by which something may come later than it should.
SLACK = 0.05
RATE_SECONDS = 10


class Sleeper(threading.Thread):
    """Finds out how late the machine is."""

    def __init__(self):
        super().__init__(daemon=True)
        self.latest = 0.0

    def run(self):
        while True:
            began = time.monotonic()
            time.sleep(0.005)
            self.latest = max(self.latest, time.monotonic() - began - 0.005)


SLEEPER = Sleeper()


class Api:
    """The control API of a `dcproxy serve` of our own."""

    def __init__(self, dcproxy):
        command = [dcproxy, "serve", "--api", "127.0.0.1:0", "--seed", "7"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self.address = None
        for line in self.process.stderr:
            if line.startswith("api listening on "):
                self.address = line.split()[-1]
                break
        if self.address is None:
            raise SystemExit(f"expected 'api listening on ADDR', found the end of {' '.join(command)}")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.address}{path}", data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Proxy:
    """A proxy before an upstream of our own, both for one measure."""

    def __init__(self, api, name):
        self.api, self.name = api, name
        self.upstream = socket.create_server(("127.0.0.1", 0), backlog=400)
        upstream = "127.0.0.1:%d" % self.upstream.getsockname()[1]
        made = api.call("POST", "/proxies", {"name": name, "listen": "127.0.0.1:0", "upstream": upstream, "enabled": True})
        host, port = made["listen"].rsplit(":", 1)
        self.address = (host, int(port))

    def add(self, kind, stream="downstream", toxicity=1.0, **attributes):
        toxic = {"name": kind, "type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes}
        self.api.call("POST", f"/proxies/{self.name}/toxics", toxic)

    def change(self, kind, **attributes):
        self.api.call("POST", f"/proxies/{self.name}/toxics/{kind}", {"attributes": attributes})

    def remove(self, kind):
        self.api.call("DELETE", f"/proxies/{self.name}/toxics/{kind}")

    def pair(self):
        """A connection: the end that dialled, and the one that was dialled."""
        client = socket.create_connection(self.address, timeout=30)
        server, _ = self.upstream.accept()
        for end in (client, server):
            end.settimeout(30)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client, server


def read(end, count):
    """So many bytes, or all up to the end."""
    found = bytearray()
    while len(found) < count:
        more = end.recv(min(count - len(found), 1 << 16))
        if not more:
            break
        found += more
    return bytes(found)


def how_it_ends(end):
    """Reads to the end: the bytes, how it ends and when."""
    found = bytearray()
    try:
        while more := end.recv(1 << 16):
            found += more
        how = "FIN"
    except ConnectionResetError:
        how = "RST"
    return bytes(found), how, time.monotonic()


def within(name, found, low, high, unit=None, scale=1):
    """What was promised, what was found, and whether that is the same; without a unit it is a time."""
    if unit is None:
        # Three stand between a byte and its measure: what sends, the proxy, and what receives.
        high, unit, scale = high + 3 * SLEEPER.latest, "ms", 1000
    text = f"{name}: {low * scale:.4g} to {high * scale:.4g} {unit} promised, {found * scale:.4g} found"
    return low <= found <= high, text


def equal(name, found, expected):
    return found == expected, f"{name}: {expected} promised, {found} found"


def trips(near, far, count, pause=0.0):
    """How long a byte takes from one end to the other."""
    taken = []
    for _ in range(count):
        began = time.monotonic()
        near.sendall(b"x")
        assert read(far, 1) == b"x"
        taken.append(time.monotonic() - began)
        time.sleep(pause)
    return taken


def latency(proxy):
    client, server = proxy.pair()
    proxy.add("latency", latency=100)
    taken = trips(server, client, 40)
    yield within("the quickest of 40", min(taken), 0.1, 0.1 + SLACK)
    yield within("the median", statistics.median(taken), 0.1, 0.1 + SLACK / 2, "ms", 1000)
    yield within("the other way, the median", statistics.median(trips(client, server, 20)), 0, SLACK / 2, "ms", 1000)


def latency_upstream_with_jitter(proxy):
    client, server = proxy.pair()
    proxy.add("latency", "upstream", latency=60, jitter=40)
    taken = trips(client, server, 120)
    yield within("the quickest of 120", min(taken), 0.02, 0.03 + SLACK)
    yield within("the median", statistics.median(taken), 0.05, 0.06 + SLACK / 2, "ms", 1000)
    yield within("the slowest but two", sorted(taken)[-3], 0.08, 0.1 + SLACK)


def latency_is_no_throttle(proxy):
    client, server = proxy.pair()
    proxy.add("latency", latency=200)
    total = 8 << 20
    sender = threading.Thread(target=server.sendall, args=(b"x" * total,))
    began = time.monotonic()
    sender.start()
    count = len(read(client, total))
    yield equal("bytes", count, total)
    yield within("8 MiB, of which 4 MiB may be on their way at once", time.monotonic() - began, 0.2, 2.0)
    sender.join()


def rate_of(near, far):
    """Bytes a second that arrive, over ten seconds."""
    stop = threading.Event()

    def send():
        with contextlib.suppress(OSError):
            while not stop.is_set():
                near.sendall(b"x" * 65536)

    sender = threading.Thread(target=send)
    sender.start()
    read(far, 1)
    began, count = time.monotonic(), 0
    while (now := time.monotonic()) < began + RATE_SECONDS:
        count += len(far.recv(1 << 16))
    stop.set()
    far.close()
    near.close()
    sender.join()
    return count / (now - began)


def bandwidth_downstream(proxy):
    client, server = proxy.pair()
    proxy.add("bandwidth", rate=1000)
    yield within("1000 KB/s over ten seconds", rate_of(server, client), 950_000, 1_050_000, "KB/s", 1e-3)


def bandwidth_upstream(proxy):
    client, server = proxy.pair()
    proxy.add("bandwidth", "upstream", rate=50)
    yield within("50 KB/s over ten seconds", rate_of(client, server), 47_500, 52_500, "KB/s", 1e-3)


def bandwidth_and_latency(proxy):
    client, server = proxy.pair()
    proxy.add("bandwidth", rate=2000)
    proxy.add("latency", latency=500)
    yield within("2000 KB/s, half a second late", rate_of(server, client), 1_900_000, 2_100_000, "KB/s", 1e-3)


def segments(end):
    """The segments with data that an end has got: `tcpi_data_segs_in` of Linux."""
    return struct.unpack_from("I", end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 200), 152)[0]


def slicer(proxy):
    client, server = proxy.pair()
    proxy.add("slicer", average_size=500, size_variation=100, delay=2000)
    sent = bytes(n % 251 for n in range(50_000))
    began = time.monotonic()
    server.sendall(sent)
    yield equal("the bytes are those that were sent", read(client, len(sent)) == sent, True)
    yield within("a hundred slices, 2 ms apart", time.monotonic() - began, 0.16, 0.3 + SLACK)
    yield within("come as", segments(client), 84, 125, "segments")


def slicer_without_delay(proxy):
    client, server = proxy.pair()
    proxy.add("slicer", average_size=100, size_variation=0, delay=0)
    server.sendall(b"x" * 20_000)
    yield equal("bytes", len(read(client, 20_000)), 20_000)
    # As one they would be a segment. Those that wait for the socket leave together, up to 32 in a write.
    yield within("come as", segments(client), 7, 210, "segments")


def limit_data(proxy):
    for limit in (1, 1000, 100_000):
        proxy.add("limit_data", "upstream", bytes=limit)
        client, server = proxy.pair()
        with contextlib.suppress(OSError):
            client.sendall(b"x" * 300_000)
        found, how, _ = how_it_ends(server)
        yield equal(f"bytes of {limit}", (len(found), how), (limit, "FIN"))
        yield equal("and the dialler is told", how_it_ends(client)[1] in ("FIN", "RST"), True)
        proxy.remove("limit_data")


def limit_data_counts_from_when_it_came(proxy):
    client, server = proxy.pair()
    server.sendall(b"x" * 5000)
    read(client, 5000)
    proxy.add("limit_data", bytes=1234)
    server.sendall(b"x" * 5000)
    found, how, _ = how_it_ends(client)
    yield equal("bytes", (len(found), how), (1234, "FIN"))


def timeout(proxy):
    client, server = proxy.pair()
    began = time.monotonic()
    proxy.add("timeout", timeout=500)
    server.sendall(b"x" * 1000)
    found, how, ended = how_it_ends(client)
    yield equal("bytes, and the end", (len(found), how), (0, "FIN"))
    yield within("closed after", ended - began, 0.5, 0.5 + 2 * SLACK)


def timeout_without_end(proxy):
    client, server = proxy.pair()
    proxy.add("timeout", timeout=0)
    server.sendall(b"x" * 1000)
    client.settimeout(1)
    try:
        found = client.recv(1)
    except TimeoutError:
        found = None
    yield equal("within a second", found, None)
    client.settimeout(30)
    began = time.monotonic()
    proxy.remove("timeout")
    found, how, ended = how_it_ends(client)
    yield equal("bytes, and the end", (len(found), how), (0, "FIN"))
    yield within("closed once it is removed, after", ended - began, 0, 2 * SLACK)


def reset_peer(proxy):
    for after in (0, 400):
        client, server = proxy.pair()
        began = time.monotonic()
        proxy.add("reset_peer", timeout=after)
        found, how, ended = how_it_ends(client)
        yield equal("bytes, and the end", (len(found), how), (0, "RST"))
        yield within("reset after", ended - began, after / 1000, after / 1000 + 2 * SLACK)
        yield equal("and the upstream", how_it_ends(server)[1], "RST")
        proxy.remove("reset_peer")
    client, server = proxy.pair()
    proxy.add("reset_peer", timeout=400)
    server.sendall(b"x" * 100)
    found, how, _ = how_it_ends(client)
    yield equal("what waits does not come", (len(found), how), (0, "RST"))


def slow_close(proxy):
    client, server = proxy.pair()
    proxy.add("slow_close", delay=400)
    began = time.monotonic()
    server.sendall(b"last words")
    server.shutdown(socket.SHUT_WR)
    yield equal("bytes", read(client, 10), b"last words")
    yield within("they come at once", time.monotonic() - began, 0, SLACK)
    _, how, ended = how_it_ends(client)
    yield equal("the end", how, "FIN")
    yield within("and it after", ended - began, 0.4, 0.4 + SLACK)


def a_change_acts_on_what_waits(proxy):
    client, server = proxy.pair()
    proxy.add("latency", latency=60_000)
    server.sendall(b"x")
    began = time.monotonic()
    proxy.change("latency", latency=300)
    read(client, 1)
    yield within("60 s made 300 ms", time.monotonic() - began, 0.2, 0.3 + SLACK)
    proxy.change("latency", latency=60_000)
    server.sendall(b"x")
    time.sleep(0.2)
    began = time.monotonic()
    proxy.remove("latency")
    read(client, 1)
    yield within("60 s removed", time.monotonic() - began, 0, 2 * SLACK)
    yield within("and none is left", max(trips(server, client, 20)), 0, SLACK)


def toxicity(proxy):
    proxy.add("latency", toxicity=0.3, latency=500)
    pairs = [proxy.pair() for _ in range(200)]
    began = time.monotonic()
    for _, server in pairs:
        server.sendall(b"x")
    late = 0
    for client, _ in pairs:
        client.settimeout(max(began + 0.4 - time.monotonic(), 0.001))
        try:
            client.recv(1)
        except TimeoutError:
            late += 1
    yield within("of 200 connections have it", late / 200, 0.2, 0.4, "%", 100)
    for client, server in pairs:
        client.close()
        server.close()


def half_a_frame(proxy):
    """A header that promises more, and then nothing: no byte waits for the rest."""
    client, server = proxy.pair()
    proxy.add("latency", latency=50)
    began = time.monotonic()
    server.sendall(struct.pack(">BBHBBHIIQ", 0x80, 1, 3, 8, 0, 0, 5000, 1, 0) + b"abc")
    read(client, 27)
    yield within("27 bytes of 5024", time.monotonic() - began, 0.05, 0.05 + SLACK)


MEASURES = [
    bandwidth_downstream,
    bandwidth_upstream,
    bandwidth_and_latency,
    latency,
    latency_upstream_with_jitter,
    latency_is_no_throttle,
    slicer,
    slicer_without_delay,
    limit_data,
    limit_data_counts_from_when_it_came,
    timeout,
    timeout_without_end,
    reset_peer,
    slow_close,
    a_change_acts_on_what_waits,
    toxicity,
    half_a_frame,
]


def measure(api, what):
    name = what.__name__
    try:
        return name, list(what(Proxy(api, name)))
    except Exception as error:  # noqa: BLE001: whatever it is, the promise was not kept
        return name, [(False, f"{type(error).__name__}: {error}")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dcproxy", required=True)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    chosen = [what for what in MEASURES if not options.names or any(name in what.__name__ for name in options.names)]
    if not chosen:
        raise SystemExit(f"expected a part of the name of a measure, found {options.names}")
    api = Api(options.dcproxy)
    SLEEPER.start()
    failed = 0
    try:
        with concurrent.futures.ThreadPoolExecutor(len(chosen)) as pool:
            for name, found in pool.map(lambda what: measure(api, what), chosen):
                kept = all(good for good, _ in found) and bool(found)
                failed += not kept
                print(f"{'ok    ' if kept else 'FAILED'} {name.replace('_', ' ')}")
                for good, text in found:
                    print(f"         {'' if good else 'NOT KEPT '}{text}")
    finally:
        api.end()
    print(f"the machine woke a sleeper up to {SLEEPER.latest * 1000:.1f} ms late")
    print(f"{len(chosen) - failed} of {len(chosen)} toxics keep their promises")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
