#!/usr/bin/env python3
"""Runs the real binaries with an independent consumer: node <- proxy with the built-in scenario <- consumer.py.

Each line of RUNS is one such chain on free ports of its own, with what must come of it: the exit code of the proxy, what its
reports say, and that the consumer has nothing to complain of. Several run at once.

    scenarios.py --dcproxy target/debug/dcproxy [PART OF A NAME ...]
"""

import argparse
import concurrent.futures
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree

import tshark_compare

HERE = os.path.dirname(os.path.abspath(__file__))
EXIT = {"pass": 0, "fail": 1, "inconclusive": 3}
OLD_SYNC = "--sync enable_synchronous_replication"
SYNC_MESSAGES = {"DCP_PREPARE", "DCP_COMMIT", "DCP_ABORT"}


class Run:
    """What to start, and what must come of it."""

    def __init__(self, name, exit_code, node="", proxy="", consumer="", **expected):
        self.name = name
        self.exit_code = exit_code
        self.node = node.split() if "--items" in node else ["--items", "3000", *node.split()]
        self.proxy = proxy.split()
        self.consumer = consumer.split()
        self.era = expected.pop("era", None)
        self.finding = expected.pop("finding", None)  # its id must have failed
        self.unmet = expected.pop("unmet", None)  # the messages that must be not_exercised, and no others
        self.untold = expected.pop("untold", ())  # what the consumer must complain of, for the node does it
        self.ends_with = expected.pop("signal", None)
        self.orphans = expected.pop("orphans", True)
        assert not expected, expected


def eras():
    yield Run("era 6.0", 0, "--era 6.0", "", "--sync= --no-replica", era="6.0")
    yield Run("era 2019-07", 0, "--era 2019-07", "", OLD_SYNC, era="2019-07")
    yield Run("era 6.5", 0, "--era 6.5", era="6.5")
    yield Run("era 6.6", 0, "--era 6.6", era="6.6")
    yield Run("era 7.0", 0, "--era 7.0 --items 10000", era="7.0")
    yield Run("era 7.0 with v7 codes", 0, "--era 7.0", "", "--v7", era="7.0")
    yield Run("era master", 0, "--era master", "", "--v7", era="master")
    yield Run("era master without v7 codes", 0, "--era master", era="master")


def quirks():
    """Each shows wherever `Quirk::about` says that it does, and is caught by the finding named there."""
    old = ("2019-07", OLD_SYNC)
    eras = [old, ("6.5", ""), ("6.6", ""), ("7.0", "--v7"), ("master", "--v7")]
    for quirk, finding, where in [
        ("mb-35287", "connection-kept", [old, ("6.5", ""), ("7.0", "--v7")]),
        ("mb-32724", "connection-kept", [old, ("6.6", ""), ("7.0", "")]),
        ("mb-37009", "connection-kept", [("6.0", "--sync= --no-replica"), *eras]),
        ("mb-40934", "connection-kept", [("7.0", ""), ("7.0", "--v7"), ("master", "--v7")]),
        ("mb-18625", "stream-stays-closed", [("6.0", "--sync= --no-replica"), ("6.5", ""), ("7.0", "--v7")]),
        ("stall-after-orphan", "streams-undisturbed", [old, ("7.0", ""), ("7.0", "--window 4000")]),
        ("repeat-after-orphan", "streams-undisturbed", [old, ("7.0", ""), ("7.0", "--window 0")]),
        ("leak-window", "window-restored", [old, ("7.0", ""), ("7.0", "--window 4000")]),
        ("late-disconnect", "connection-kept", [("6.0", "--sync= --no-replica"), ("7.0", "--v7 --to-latest")]),
    ]:
        untold = ("seqno", "snapshot", "straight from the node") if quirk == "repeat-after-orphan" else ()
        for era, consumer in where:
            name = f"quirk {quirk}, era {era} {consumer}".strip()
            yield Run(name, 1, f"--era {era} --quirk {quirk}", "", consumer, finding=finding, untold=untold)


def consumers():
    """What consumers may do, and the producer is still whole."""
    yield Run("no flow control", 0, consumer="--window 0")
    yield Run("window of 4000 bytes", 0, consumer="--window 4000")
    yield Run("one vbucket", 0, "--vbuckets 1", "", "--vbuckets 1")
    yield Run("one vbucket of several", 0, consumer="--vbuckets 1")
    yield Run("to latest", 0, consumer="--to-latest")
    yield Run("to latest, few items", 0, "--items 400", "", "--to-latest")
    yield Run("opaque is the vbucket", 0, consumer="--opaque-is-vbucket")
    yield Run("never asks again", 0, consumer="--never-reopen")
    yield Run("leaves after 3000 messages", 0, consumer="--messages 3000")
    yield Run("slow reader", 0, "--items 2000", "", "--slow 0.02")
    yield Run("slow reader without flow control", 0, "--items 2000", "", "--slow 0.02 --window 0")
    yield Run("acknowledges seqnos", 0, consumer="--seqno-acks")
    yield Run("markers of the first form", 0, consumer="--no-replica")
    yield Run("gives back two bytes less for each prepare", 0, consumer="--java-acks")
    yield Run("snappy", 0, consumer="--snappy --v7")


def without_something():
    """What never came is named, and decides; `--messages` narrows."""
    yield Run("no STREAM_END control", 3, consumer="--no-stream-end", unmet={"DCP_STREAM_END"})
    yield Run("no collections", 3, consumer="--no-collections", unmet={"DCP_SYSTEM_EVENT"})
    narrow = "--messages mutation,deletion,expiration,prepare,commit,abort,stream_end"
    yield Run("no collections, not wanted", 0, "", narrow, "--no-collections")
    yield Run("no sync writes", 3, consumer="--sync= --no-replica", unmet=SYNC_MESSAGES)
    narrow = "--messages mutation,deletion,expiration,system_event,stream_end"
    yield Run("no sync writes, not wanted", 0, "", narrow, "--sync= --no-replica")
    sids = "--sync= --no-replica --stream-ids"
    yield Run("stream ids", 3, consumer=f"{sids} 7", unmet=SYNC_MESSAGES)
    yield Run("stream ids, sync writes not wanted", 0, "", narrow, f"{sids} 7")
    yield Run("two streams of each vbucket", 0, "", narrow, f"{sids} 1 300")
    yield Run("DCP never opened", 3, consumer="--stop before-open", signal=signal.SIGTERM, orphans=False)
    yield Run("no stream ever asked for", 3, consumer="--stop before-streams", orphans=False)


RUNS = [*eras(), *quirks(), *consumers(), *without_something()]


class Listener:
    """A dcproxy that listens; its standard error is kept. `says` is what it says before its address."""

    def __init__(self, command, says="listening on "):
        self.lines = []
        self.says = says
        self.address = queue.SimpleQueue()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            if line.startswith(self.says):
                self.address.put(line.removeprefix(self.says).split()[0])
        self.address.put(None)

    def wait_for_address(self):
        address = self.address.get(timeout=30)
        if address is None:
            raise OSError(f"does not listen: {self.lines}")
        return address

    def end(self):
        """By its own pid, and only if it is still there."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def play(run, dcproxy, required):
    """The chain from one end to the other; gives what is wrong with what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        reports = [os.path.join(folder, name) for name in ("r.json", "r.xml")]
        recording = os.path.join(folder, "r.pcapng")
        started = []
        try:
            node = Listener([dcproxy, "node", "--listen", "127.0.0.1:0", "--seed", "5", *run.node])
            started.append(node)
            upstream = node.wait_for_address()
            proxy = Listener([
                dcproxy, "proxy", "--listen", "127.0.0.1:0", "--upstream", upstream, "--once", "--scenario", "orphaned-responses",
                "--seed", "3", *(["--record", recording] if is_recorded(run) else []),
                *(f"--report={path}" for path in reports), *run.proxy,
            ])  # fmt: skip
            started.append(proxy)
            port = proxy.wait_for_address().rsplit(":", 1)[1]
            command = [sys.executable, os.path.join(HERE, "consumer.py"), port, "--reference", upstream.rsplit(":", 1)[1]]
            consumer = subprocess.run([*command, *run.consumer], capture_output=True, text=True, timeout=120)
            if run.ends_with:
                proxy.process.send_signal(run.ends_with)
            exit_code = proxy.process.wait(timeout=60)
        except (OSError, queue.Empty, subprocess.TimeoutExpired) as error:
            return [f"{type(error).__name__}: {error}", *(line for one in started for line in one.lines)]
        finally:
            for one in started:
                one.end()
        wrong = check_consumer(run, consumer)
        if exit_code != run.exit_code:
            wrong.append(f"exit code {exit_code}, not {run.exit_code}")
        wrong += check_reports(run, *reports, exit_code, required)
        if is_recorded(run):
            wrong += check_recording(run, dcproxy, recording, reports[0], exit_code)
        return wrong + ([f"proxy: {line}" for line in proxy.lines[:20]] if wrong else [])


def is_recorded(run):
    """Whether the run is recorded: a few of each kind, as every era and quirk is in tests/program/recording.rs, and tshark is slow."""
    few = ("era 2019-07", "era 7.0", "one vbucket", "snappy", "two streams of each vbucket", "slow reader", "DCP never opened")
    return run.name in few or run.name.startswith("quirk mb-35287")


def judged(path):
    """What of a report a recording must say too."""
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    connections = [
        (one["id"], one["verdict"], one["frames"], one["steps"], [(f["id"], f["verdict"]) for f in one["findings"]], one["matrix"])
        for one in report["connections"]
    ]  # fmt: skip
    return report["verdict"], report["era"], report["seed"], report["scenarios"], connections


def check_recording(run, dcproxy, recording, live, exit_code):
    """`check` says of the recording what was said live; tshark and capinfos read it without a warning."""
    checked = recording + ".json"
    check = subprocess.run([dcproxy, "check", recording, "--report", checked], capture_output=True, text=True)
    wrong = []
    if check.returncode != exit_code or check.stderr:
        wrong.append(f"check ended with {check.returncode}, not {exit_code}: {check.stderr.strip()}")
    try:
        if judged(live) != judged(checked):
            wrong.append(f"check says otherwise than was said live: {judged(checked)}, live {judged(live)}")
    except (OSError, ValueError) as error:
        wrong.append(f"check: {error}")
    experts = subprocess.run(["tshark", "-r", recording, "-q", "-z", "expert,warn"], capture_output=True, text=True)
    for line in experts.stdout.splitlines():
        fields = line.split()
        # Frames that tshark's dissector misjudges are tshark_compare.py's; a reset is a reset.
        if fields[1:3] == ["Sequence", "TCP"] and "Connection reset" not in line:
            wrong.append(f"tshark: {line.strip()}")
    info = subprocess.run(["capinfos", "-c", recording], capture_output=True, text=True)
    for tool in (experts, info):
        said = [line for line in tool.stderr.splitlines() if line and not line.startswith("Running as user")]
        if tool.returncode or said:
            wrong.append(f"{tool.args[0]} ended with {tool.returncode}: {said}")
    # One is enough, and slow enough.
    if run.name == "one vbucket":
        compared = tshark_compare.compare(dcproxy, recording)
        wrong += [f"tshark sees other frames: {line}" for line in compared.differences[:5]]
    return wrong


def check_consumer(run, consumer):
    try:
        seen = json.loads(consumer.stdout)
    except ValueError:
        return [f"consumer: {consumer.stderr.strip() or consumer.stdout}"]
    if "unable" in seen:
        return [f"consumer: {seen['unable']}"]
    complaints = seen["violations"] + seen["differences"]
    told = [text for text in complaints if any(part in text for part in run.untold)]
    untold = [text for text in complaints if text not in told]
    wrong = [f"consumer: {text}" for text in untold[:3] + untold[3:][-3:]]
    if len(untold) > len(wrong):
        wrong.append(f"consumer: {len(untold)} complaints in all")
    if run.untold and not told:
        wrong.append("the consumer did not notice what the node does")
    ended = [end for stream in seen["streams"].values() for end in stream["ends"]]
    # One that is behind when the run ends has not read so far.
    if run.exit_code == 0 and 2 not in ended and not {"--messages", "--slow"} & set(run.consumer):
        wrong.append(f"no stream was told to be over with StateChanged: {ended}")
    return wrong


def check_reports(run, path, junit, exit_code, required):
    try:
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
        root = xml.etree.ElementTree.parse(junit).getroot()
    except (OSError, ValueError, xml.etree.ElementTree.ParseError) as error:
        return [f"{type(error).__name__}: {error}"]
    wrong = list(missing_keys(report, required, "$defs"))
    if EXIT[report["verdict"]] != exit_code:
        wrong.append(f"exit code {exit_code} with verdict {report['verdict']}")
    if run.era and report["era"] != run.era:
        wrong.append(f"era {report['era']}, not {run.era}: {report['reason']}")
    findings = report["findings"] + [f for c in report["connections"] for f in c["findings"]]
    rows = report["matrix"]
    failed = {f["id"] for f in findings if f["verdict"] == "fail"}
    if run.finding is None and failed:
        wrong += [f"{f['id']}: {f['actual']}" for f in findings if f["verdict"] == "fail"]
    elif run.finding is not None and run.finding not in failed:
        others = [(f["id"], f["verdict"], f["actual"]) for f in findings if f["verdict"] != "pass"]
        wrong.append(f"{run.finding} did not fail: {others}")
    unmet = {row["message"] for row in rows if row["outcome"] == "not_exercised"}
    if run.unmet is not None and unmet != run.unmet:
        wrong.append(f"not exercised: {sorted(unmet)}, not {sorted(run.unmet)}")
    if exit_code != EXIT[worst([*(f["verdict"] for f in findings), *(row["verdict"] for row in rows)])]:
        wrong.append(f"nothing in the report says why: {[(r['message'], r['outcome']) for r in rows if r['verdict'] != 'pass']}")
    if run.exit_code == 3 and run.orphans:
        others = [f for f in findings if f["verdict"] != "pass" and f["id"] != "evidence"]
        wrong += [f"{f['id']}: {f['verdict']}: {f['actual']}" for f in others]
    orphans = [orphan for c in report["connections"] for orphan in c["orphans"]]
    if bool(orphans) != run.orphans or any(orphan["origin"] != "injected" for orphan in orphans):
        wrong.append(f"{len(orphans)} orphaned responses of {sorted({o['origin'] for o in orphans})}")
    if root.tag != "testsuites" or bool(root.findall(".//failure")) != (exit_code == 1):
        wrong.append(f"JUnit: {root.tag} with {len(root.findall('.//failure'))} failures, exit code {exit_code}")
    return wrong


def worst(verdicts):
    return next((v for v in ("fail", "inconclusive") if v in verdicts), "pass" if verdicts else "inconclusive")


def missing_keys(value, schema, where):
    """What the schema requires and is not there; the tests of the crate check all of it."""
    definitions = schema.get("$defs", {})

    def walk(value, schema, where):
        schema = definitions[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
        if isinstance(value, dict):
            for key in schema.get("required", []):
                if key not in value:
                    yield f"{where}: no {key}"
            for key, part in value.items():
                yield from walk(part, schema.get("properties", {}).get(key, {}), f"{where}.{key}")
        elif isinstance(value, list):
            for at, part in enumerate(value):
                yield from walk(part, schema.get("items", {}), f"{where}[{at}]")

    yield from walk(value, schema, "report")


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dcproxy", required=True)
    parser.add_argument("--jobs", type=int, default=6, help="at once; a chain mostly waits")
    parser.add_argument("names", nargs="*", help="only those whose names have one of these in them")
    options = parser.parse_args(argv)
    runs = [run for run in RUNS if not options.names or any(name in run.name for name in options.names)]
    with open(os.path.join(HERE, "../../docs/report.schema.json"), encoding="utf-8") as file:
        required = json.load(file)
    failed = 0

    def timed(run):
        since = time.monotonic()
        return play(run, options.dcproxy, required), time.monotonic() - since

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for run, (wrong, seconds) in zip(runs, pool.map(timed, runs)):
            print(f"{'FAIL' if wrong else 'ok':5} {run.name} ({seconds:.1f} s)", *wrong, sep="\n      ", flush=True)
            failed += bool(wrong)
    print(f"{len(runs) - failed} passed, {failed} failed")
    return 1 if failed or not runs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
