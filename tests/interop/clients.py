#!/usr/bin/env python3
"""toxiproxy's public clients, unchanged, against `dcproxy serve`: one course in five languages.

Each client (clients/) makes, lists, changes and removes proxies and all of toxiproxy's toxics, measures one of them, and is
told its errors. Then the test of docs/API.md: a stream is closed under a consumer that is receiving (consumer.py, from an
embedded node), and the verdict asked for. It must pass with a node that is whole, and fail with `connection-kept` with the
quirk mb-35287: the test itself fails there, as a user's would.

    clients.py --dcproxy target/debug/dcproxy --built target/interop [PART OF A NAME ...]

`--built` is where prepare has put the programs; what is not there is left out, and said. With `--toxiproxy SERVER` the first
part runs against toxiproxy's own server instead, so that what is asked of dcproxy is known to be true of toxiproxy.
"""

import argparse
import concurrent.futures
import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
import time

from scenarios import HERE, Listener

CLIENTS = os.path.join(HERE, "clients")
HEALTHY, BROKEN = [], ["--quirk", "mb-35287"]
LONGEST = 90


class Client:
    """How the programs of one client are started; `needs` are files that have to be there, and programs."""

    def __init__(self, name, course, dcp, needs, env=None):
        self.name, self.course, self.dcp, self.needs, self.env = name, course, dcp, needs, env or {}

    def lacks(self):
        return [need for need in self.needs if not os.path.exists(need) and not shutil.which(need)]


def clients(built):
    def in_built(name):
        return os.path.join(built, name)

    def source(*path):
        return os.path.join(CLIENTS, *path)

    go, python, cli = in_built("clients-go"), in_built("python/bin/python"), in_built("toxiproxy-cli")
    yield Client("Go", [go, "-test.skip", "Producer"], [go, "-test.run", "Producer"], [go])
    classes = in_built("clients-java")
    try:
        with open(in_built("clients-java.classpath"), encoding="utf-8") as file:
            path = f"{file.read().strip()}:{classes}"
    except OSError:
        path = classes
    junit = ["java", "-XX:TieredStopAtLevel=1", "-cp", path, "org.junit.platform.console.ConsoleLauncher", "execute"]
    junit += ["--disable-banner", "--disable-ansi-colors", "--details=summary"]
    yield Client("Java", [*junit, "-c", "ToxiproxyTest"], [*junit, "-c", "DcpTest"], ["java", classes])
    yield Client("Python", [python, source("python", "toxiproxy_test.py")], [python, source("python", "dcp_test.py")], [python])
    modules = in_built("node/node_modules")
    node = ["node", "--test"]
    yield Client(
        "Node.js", [*node, source("node", "toxiproxy.test.js")], [*node, source("node", "dcp.test.js")], ["node", modules], {"NODE_PATH": modules}
    )
    yield Client("toxiproxy-cli", ["bash", source("cli", "toxiproxy.sh")], ["bash", source("cli", "dcp.sh")], [cli], {"TOXIPROXY_CLI": cli})


# --- what the clients talk to


def answering(change):
    """An address that answers with what it is sent, changed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def answer(connection):
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(change(data))
            except OSError:
                pass

    def accept():
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return "127.0.0.1:%d" % listener.getsockname()[1]


class Toxiproxy:
    """toxiproxy's own server, on a port that was free a moment ago."""

    def __init__(self, program):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        self.lines = []
        self.address = f"127.0.0.1:{port}"
        self.process = subprocess.Popen([program, "-port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait_for_address(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", int(self.address.rsplit(":", 1)[1]))).close()
                return self.address
            except OSError:
                time.sleep(0.02)
        raise OSError("toxiproxy's server does not listen")

    def end(self):
        self.process.kill()
        self.process.wait()


def serve(options):
    if options.toxiproxy:
        return Toxiproxy(options.toxiproxy)
    return Listener([options.dcproxy, "serve", "--api", "127.0.0.1:0"], "api listening on ")


def run(client, command, server, more):
    """Runs a program to its end; its exit code, and what it said."""
    env = {**os.environ, **client.env, **more, "TOXIPROXY_URL": f"http://{server.wait_for_address()}"}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LONGEST)
    return done.returncode, done.stdout


def course(client, options, upstreams):
    server = serve(options)
    try:
        code, said = run(client, client.course, server, upstreams)
        return [f"ended with {code}", *said.splitlines()[-40:]] if code else []
    finally:
        server.end()


def dcp(client, options, quirk):
    node = Listener([options.dcproxy, "node", "--listen", "127.0.0.1:0", "--items", "1000", "--seed", "5", *quirk])
    server = serve(options)
    application = f"{sys.executable} {os.path.join(HERE, 'consumer.py')}"
    try:
        code, said = run(client, client.dcp, server, {"PRODUCER": node.wait_for_address(), "APPLICATION": application})
        wrong = []
        if bool(code) != (quirk is BROKEN):
            wrong.append(f"ended with {code}")
        if ("connection-kept" in said) != (quirk is BROKEN):
            wrong.append("expected connection-kept to be what failed" if quirk else "expected nothing to have failed")
        return [*wrong, *said.splitlines()[-40:], *server.lines[-5:]] if wrong else []
    finally:
        server.end()
        node.end()


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dcproxy", required=True)
    parser.add_argument("--built", required=True, metavar="FOLDER")
    parser.add_argument("--toxiproxy", metavar="SERVER")
    parser.add_argument("--jobs", type=int, default=2, help="at once")
    parser.add_argument("names", nargs="*", help="only those whose names have one of these in them")
    options = parser.parse_args(argv)
    upstreams = {"ECHO": answering(bytes), "SHOUT": answering(bytes.upper)}
    parts = {"toxiproxy's course": lambda client: course(client, options, upstreams)}
    if not options.toxiproxy:
        parts["a stream closed, the producer whole"] = lambda client: dcp(client, options, HEALTHY)
        parts["a stream closed, quirk mb-35287"] = lambda client: dcp(client, options, BROKEN)
    runs = []
    for client in clients(options.built):
        lacking = client.lacks()
        for part, work in parts.items():
            name = f"{client.name}: {part}"
            if options.names and not any(wanted in name for wanted in options.names):
                continue
            if lacking:
                print(f"SKIPPED {name}: expected {', '.join(lacking)}, found none", flush=True)
            else:
                runs.append((name, client, work))

    def play(one):
        _, client, work = one
        since = time.monotonic()
        try:
            wrong = work(client)
        except (OSError, queue.Empty, subprocess.TimeoutExpired) as error:
            wrong = [f"{type(error).__name__}: {error}"]
        return wrong, time.monotonic() - since

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for (name, *_), (wrong, seconds) in zip(runs, pool.map(play, runs)):
            print(f"{'FAIL' if wrong else 'ok':5} {name} ({seconds:.1f} s)", *wrong, sep="\n      ", flush=True)
            failed += bool(wrong)
    print(f"{len(runs) - failed} passed, {failed} failed")
    return 1 if failed or not runs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
