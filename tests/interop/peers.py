#!/usr/bin/env python3
"""Public clients that are none of this project's, through the proxy, from a cluster of three embedded nodes.

  - gocbcore: the Go DCP client streams every vbucket with collections and flow control, while the proxy closes streams in
    mid-transfer; straight from the cluster and through the proxy the same has to come;
  - couchbase for Python: KV work, plain and over TLS.

Each prints what was expected, what came, and how many streams were closed and resumed.

    peers.py --dcproxy target/debug/dcproxy --gocbcore PROGRAM --python VENV/bin/python [PART OF A NAME ...]
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

from scenarios import EXIT, HERE, Listener

NODES = 3
CUTS = os.path.join(HERE, "cuts.toml")
ITEMS = 2000
# The newest of the node's own collections in its second scope (src/node/data.rs: one a round of 32, from 8 on, every second
# one there).
ROUND = (ITEMS - 1) // 32
COLLECTION = f"inventory.orders-{8 + ROUND - 1 + ROUND % 2}"


class Setting:
    """A cluster of embedded nodes, and the proxy before it."""

    def __init__(self, dcproxy, folder, node=(), proxy=()):
        self.started = []
        self.report = os.path.join(folder, "report.json")
        self.cas = [os.path.join(folder, name) for name in ("node.pem", "proxy.pem")]
        node = [*node, "--tls-ca-out", self.cas[0]]
        proxy = [*proxy, "--tls-ca-out", self.cas[1]]
        try:
            self.node = self.start(dcproxy, "node", "--nodes", str(NODES), "--items", str(ITEMS), "--seed", "5", *node)
            self.nodes = [self.node.wait_for_address() for _ in range(NODES)]
            self.proxy = self.start(dcproxy, "proxy", "--cluster", "--upstream", self.nodes[0], "--seed", "3", "--report", self.report, *proxy)
            self.address = self.proxy.wait_for_address()
        except BaseException:
            self.end()
            raise

    def start(self, dcproxy, command, *more):
        listener = Listener([dcproxy, command, "--listen", "127.0.0.1:0", *more])
        self.started.append(listener)
        return listener

    def end(self):
        for one in self.started:
            one.end()

    def judge(self):
        """Lets the proxy end, and gives its exit code and its report."""
        self.proxy.process.send_signal(signal.SIGTERM)
        code = self.proxy.process.wait(timeout=60)
        with open(self.report, encoding="utf-8") as file:
            return code, json.load(file)


def run(command, timeout=120):
    """What a program says on its standard output, as JSON, and what is wrong with how it ended."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    wrong = [] if done.returncode == 0 else [f"ended with {done.returncode}", *done.stderr.splitlines()[-5:]]
    try:
        return json.loads(done.stdout), wrong
    except ValueError:
        return {}, [*wrong, f"expected JSON, found {done.stdout[:200]!r}"]


def gocbcore(options, folder):
    setting = Setting(options.dcproxy, folder, ["--vbuckets", "64"], ["--scenario", CUTS])
    try:
        said, wrong = run([options.gocbcore, "--direct", setting.nodes[0], "--through", setting.address])
        code, report = setting.judge()
    finally:
        setting.end()
    findings = [f for one in report["connections"] for f in one["findings"] if f["verdict"] == "fail"]
    wrong += [f"{finding['id']}: {finding['actual']}" for finding in findings[:5]]
    if code != EXIT["pass"]:
        wrong.append(f"the proxy ended with {code}: {report['verdict']}: {report['reason']}")
    if said.get("streams_closed", 0) < 2 * NODES or said["streams_resumed"] != said["streams_closed"]:
        wrong.append("expected two streams of each node at least to be closed, and each to be resumed")
    return said, wrong


def python(tls):
    def work(options, folder):
        node, proxy = (["--tls", "auto"], ["--tls", "auto", "--upstream-ca", os.path.join(folder, "node.pem")]) if tls else ([], [])
        setting = Setting(options.dcproxy, folder, ["--vbuckets", "64", *node], proxy)
        try:
            command = [options.python, os.path.join(HERE, "couchbase_kv.py"), "--collection", COLLECTION]
            command += [f"couchbases://{setting.address}", "--ca", setting.cas[1]] if tls else [f"couchbase://{setting.address}"]
            said, wrong = run(command)
            code, report = setting.judge()
        finally:
            setting.end()
        if code != EXIT["pass"]:
            wrong.append(f"the proxy ended with {code}: {report['reason']}")
        if set(said.get("nodes", [])) & set(setting.nodes) or len(said.get("nodes", [])) != NODES:
            wrong.append(f"expected {NODES} nodes, all behind the proxy, found {said.get('nodes')}; without it {setting.nodes}")
        return said, wrong

    return work


CLIENTS = {"gocbcore, DCP": gocbcore, "couchbase for Python, KV": python(False), "couchbase for Python, KV over TLS": python(True)}


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dcproxy", required=True)
    parser.add_argument("--gocbcore", help="the program built from tests/interop/gocbcore; without it that is left out")
    parser.add_argument("--python", help="a Python that has the couchbase package; without it that is left out")
    parser.add_argument("names", nargs="*", help="only those whose names have one of these in them")
    options = parser.parse_args(argv)
    failed = 0
    for name, client in CLIENTS.items():
        if options.names and not any(part in name for part in options.names):
            continue
        if not (options.gocbcore if client is gocbcore else options.python):
            print(f"SKIPPED {name}: it is not installed here", flush=True)
            continue
        since = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                said, wrong = client(options, folder)
            except (OSError, subprocess.TimeoutExpired, ValueError) as error:
                said, wrong = {}, [f"{type(error).__name__}: {error}"]
        print(f"{'FAIL' if wrong else 'ok':5} {name} ({time.monotonic() - since:.1f} s): {json.dumps(said)}", *wrong, sep="\n      ", flush=True)
        failed += bool(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
