#!/usr/bin/env python3
"""Public clients that are none of this project's, through the proxy, from a cluster of three embedded nodes.

  - gocbcore: the Go DCP client streams every vbucket with collections and flow control, while the proxy closes streams in
    mid-transfer, or while a node joins; straight from the cluster and through the proxy the same has to come;
  - dcp-client: the Java DCP client does the same, event by event; it takes the answers for being in the order of its
    questions, and opens streams again by itself;
  - couchbase for Python: KV work, plain and over TLS.

Each prints what was expected, what came, and how many streams were closed and resumed.

    peers.py --dcproxy target/debug/dcproxy --gocbcore PROGRAM --java CLASSPATH_FILE --python VENV/bin/python [PART OF A NAME ...]
"""

import argparse
import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

from scenarios import EXIT, HERE, Listener

NODES = 3
VBUCKETS = 32
CUTS = os.path.join(HERE, "cuts.toml")
ITEMS = 2000
# The newest of the node's own collections in its second scope (src/node/data.rs: one a round of 32, from 8 on, every second
# one there).
ROUND = (ITEMS - 1) // 32
COLLECTION = f"inventory.orders-{8 + ROUND - 1 + ROUND % 2}"


class Setting:
    """A cluster of embedded nodes, and the proxy before it; with TLS at both edges, if at any."""

    def __init__(self, dcproxy, folder, tls, proxy=(), vbuckets=VBUCKETS):
        self.started = []
        self.report = os.path.join(folder, "report.json")
        node_ca, self.ca = (os.path.join(folder, name) for name in ("node.pem", "proxy.pem"))
        of_node = ["--tls", "auto", "--tls-ca-out", node_ca] if tls else []
        of_proxy = ["--tls", "auto", "--tls-ca-out", self.ca, "--upstream-ca", node_ca] if tls else []
        try:
            data = ["--vbuckets", str(vbuckets), "--items", str(ITEMS), "--seed", "5"]
            node = self.start(dcproxy, "node", "--nodes", str(NODES), *data, *of_node)
            self.nodes = [node.wait_for_address() for _ in range(NODES)]
            # The nodes' other ports are told of before.
            self.management, over_tls = ([line.split()[-1] for line in node.lines if line.startswith(what)] for what in ("management listening", "tls "))
            self.behind = over_tls if tls else self.nodes
            upstream = ["--upstream", self.behind[0], *of_proxy]
            self.proxy = self.start(dcproxy, "proxy", "--cluster", "--seed", "3", "--report", self.report, *upstream, *proxy)
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


def run(command, timeout=240):
    """What a program says on its standard output, as JSON, and what is wrong with how it ended."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    wrong = [] if done.returncode == 0 else [f"ended with {done.returncode}", *done.stderr.splitlines()[-5:]]
    try:
        return json.loads(done.stdout), wrong
    except ValueError:
        return {}, [*wrong, f"expected JSON, found {done.stdout[:200]!r}"]


def gocbcore(tls=False, joins=False):
    """Closes streams in mid-transfer. Or a node joins meanwhile, and streams of the vbuckets that it gets end."""

    # Of the vbuckets that move some may have been streamed to their end.
    least = 5 if joins else NODES

    def work(options, folder):
        setting = Setting(options.dcproxy, folder, tls, [] if joins else ["--scenario", CUTS])
        try:
            command = [options.gocbcore, "--direct", setting.nodes[0], "--through", setting.address, "--timeout", "100s"]
            command += ["--closes", str(least)] if joins else ["--linger", "3s"]
            command += ["--ca", setting.ca] if tls else []
            if joins:
                change(setting.management[0], "leave")
                command += ["--change", f"3000=http://{setting.management[0]}/dcproxy/join/{NODES - 1}"]
            said, wrong = run(command)
            code, report = setting.judge()
        finally:
            setting.end()
        findings = [f for one in report["connections"] for f in one["findings"] if f["verdict"] == "fail"]
        wrong += [f"{finding['id']}: {finding['actual']}" for finding in findings[:5]]
        if code != EXIT["pass"]:
            wrong.append(f"the proxy ended with {code}: {report['verdict']}: {report['reason']}")
        if said.get("streams_closed", 0) < least or said["streams_resumed"] != said["streams_closed"]:
            wrong.append(f"expected {least} streams at least to be closed, and each to be resumed")
        if said.get("servers") != NODES:
            wrong.append(f"expected {NODES} nodes in the end, found {said.get('servers')}")
        return said, wrong

    return work


def java(options, folder):
    setting = Setting(options.dcproxy, folder, False, ["--scenario", os.path.join(HERE, "cut_often.toml")])
    began = []
    try:
        for name, address in (("direct", setting.nodes[0]), ("through", setting.address)):
            began.append(JavaClient(options.java, address, os.path.join(folder, name)))
        direct, through = (client.said() for client in began)
        # Its connections are watched until all has settled.
        time.sleep(3)
        wrong = [text for client in began for text in client.end()]
        code, report = setting.judge()
    finally:
        for client in began:
            client.kill()
        setting.end()
    expected, came = (client.events() for client in began)
    # What a node has still written between the one's questions and the other's, only one of them can have.
    last = {vbucket: min(max(expected[vbucket]), max(came[vbucket], default=0)) for vbucket in expected}
    due = [(vbucket, seqno) for vbucket in expected for seqno in expected[vbucket] if seqno <= last[vbucket]]
    got = [(vbucket, seqno) for vbucket in came for seqno in came[vbucket] if seqno <= last.get(vbucket, 0)]
    missing = sum(1 for vbucket, seqno in due if seqno not in came[vbucket])
    differ = sum(1 for vbucket, seqno in due if seqno in came[vbucket] and came[vbucket][seqno] != expected[vbucket][seqno])
    cut = {name: count for name, count in through.get("ends", {}).items() if name != "OK"}
    said = {
        "vbuckets": len(came), "documents_expected": len(due), "documents_received": len(got), "missing": missing,
        "changed": differ, "repeated": began[1].repeated, "streams_closed": cut, "streams_resumed": through.get("resumed"),
        "orphaned_responses": sum(one["orphans_total"] for one in report["connections"]),
    }  # fmt: skip
    if missing or differ or began[1].repeated or set(due) != set(got):
        wrong.append("not the same events")
    if not due or direct.get("ends") != {"OK": 32}:
        wrong.append(f"straight from the cluster: {direct}")
    if sum(cut.values()) < 3 * NODES or through.get("resumed") != sum(cut.values()):
        wrong.append(f"expected three streams of each node to be closed, and each to be resumed: {through}")
    # On a starved machine the client gives up connecting and tries again: of such a connection there is nothing to judge.
    judged = [one for one in report["connections"] if one["steps"]]
    verdicts = [one["verdict"] for one in judged]
    failed = [finding for one in [*report["connections"], report] for finding in one["findings"] if finding["verdict"] == "fail"]
    wrong += [f"{finding['id']}: {finding['actual']}" for finding in failed[:5]]
    if verdicts != ["pass"] * NODES or code not in (EXIT["pass"], EXIT["inconclusive"]):
        wrong.append(f"the proxy ended with {code}: {verdicts}: {[one['steps'] for one in judged]}")
    return said, wrong


class JavaClient:
    """java_dcp/DcpPeer.java, which stays connected until its standard input ends."""

    def __init__(self, classpath, address, path):
        with open(classpath, encoding="utf-8") as file:
            command = ["java", "-cp", file.read().strip(), os.path.join(HERE, "java_dcp", "DcpPeer.java")]
        self.path, self.repeated = path, 0
        self.process = subprocess.Popen(
            [*command, address, "default", path, "90"], env={**os.environ, "DCP_PASSWORD": "password"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def said(self):
        """What it counted, once its streams have come to their end."""
        line = self.process.stdout.readline()
        return json.loads(line) if line else {}

    def end(self):
        """Lets it go; gives what is wrong with how it ended."""
        _, stderr = self.process.communicate(timeout=30)
        # What it complains of while it connects it mends itself, with the proxy and without.
        return [] if self.process.returncode == 0 else [f"the client ended with {self.process.returncode}", *stderr.splitlines()[:5]]

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def events(self):
        """{vbucket: {seqno: what came}}"""
        seen = {}
        with open(self.path, encoding="utf-8") as file:
            for line in file:
                vbucket, seqno, *event = line.rstrip("\n").split("\t")
                one = seen.setdefault(int(vbucket), {})
                self.repeated += int(seqno) in one
                one[int(seqno)] = event
        return seen


def change(management, what):
    """Lets the last node leave or join."""
    request = urllib.request.Request(f"http://{management}/dcproxy/{what}/{NODES - 1}", method="POST")
    request.add_header("Authorization", "Basic " + base64.b64encode(b"Administrator:password").decode())
    urllib.request.urlopen(request, timeout=10).close()


def python(tls=False):
    def work(options, folder):
        # The more vbuckets there are, the more slowly the node writes, and the longer its collections live.
        setting = Setting(options.dcproxy, folder, tls, vbuckets=64)
        try:
            command = [options.python, os.path.join(HERE, "couchbase_kv.py"), "--collection", COLLECTION]
            command += [f"couchbases://{setting.address}", "--ca", setting.ca] if tls else [f"couchbase://{setting.address}"]
            said, wrong = run(command)
            code, report = setting.judge()
        finally:
            setting.end()
        if code != EXIT["pass"]:
            wrong.append(f"the proxy ended with {code}: {report['reason']}")
        if set(said.get("nodes", [])) & set(setting.behind) or len(said.get("nodes", [])) != NODES:
            wrong.append(f"expected {NODES} nodes, all behind the proxy, found {said.get('nodes')}; without it {setting.behind}")
        return said, wrong

    return work


# What each client does, and the option that says where it is installed.
CLIENTS = {
    "gocbcore, streams closed in mid-transfer": ("gocbcore", gocbcore()),
    "gocbcore, streams closed in mid-transfer, over TLS": ("gocbcore", gocbcore(tls=True)),
    "gocbcore, a node joins": ("gocbcore", gocbcore(joins=True)),
    "dcp-client for Java, streams closed in mid-transfer": ("java", java),
    "couchbase for Python, KV": ("python", python()),
    "couchbase for Python, KV over TLS": ("python", python(tls=True)),
}


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dcproxy", required=True)
    parser.add_argument("--gocbcore", help="the program built from tests/interop/gocbcore; without it that is left out")
    parser.add_argument("--java", help="a file with the class path of the dcp-client; without it that is left out")
    parser.add_argument("--python", help="a Python that has the couchbase package; without it that is left out")
    parser.add_argument("names", nargs="*", help="only those whose names have one of these in them")
    options = parser.parse_args(argv)
    failed = 0
    for name, (installed, client) in CLIENTS.items():
        if options.names and not any(part in name for part in options.names):
            continue
        if not getattr(options, installed):
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
