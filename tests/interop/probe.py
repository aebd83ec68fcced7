#!/usr/bin/env python3
"""`dcproxy probe` against `dcproxy node`, the real binaries over real sockets.

For each quirk of the node as producer (docs/QUIRKS.md) the scenarios which say that they catch it, and the one that the table
names: exit code 1, and a case of that name has a finding that failed. For each era a node without quirks and the whole
matrix: exit code 0. PROBE_ALL=1 takes the whole matrix for each quirk too, instead of its scenarios.

    probe.py --dcproxy target/debug/dcproxy [PART OF A NAME ...]
"""

import argparse
import concurrent.futures
import glob
import json
import os
import queue
import subprocess
import sys
import tempfile
import time
import tomllib

import scenarios

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../..")
ERAS = ["6.0", "2019-07", "6.5", "6.6", "7.0", "master"]
# These show in many a cell of the matrix: that the whole of it catches them is seen for each run.
WHOLE = ["mb-40934"]


class Run:
    """A node, and what `probe` must say of it."""

    def __init__(self, name, era, quirk=None, cases=(), failing=()):
        self.name = name
        self.era = era
        self.quirk = quirk
        self.cases = list(cases)  # ids; none is the whole matrix
        self.failing = list(failing)  # cases that must fail


def built_in():
    """The scenarios that judge producers, by name."""
    for path in sorted(glob.glob(os.path.join(ROOT, "examples/scenarios/*.toml"))):
        with open(path, "rb") as file:
            scenario = tomllib.load(file)
        if scenario.get("judge") != "consumer":
            yield scenario["name"], scenario


def quirk_table():
    """The quirks of the node as producer, and the scenario of each."""
    with open(os.path.join(ROOT, "docs/QUIRKS.md"), encoding="utf-8") as file:
        table = file.read().split("## As producer")[1].split("\n## ")[0]
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 6 and cells[0].startswith("`"):
            yield cells[0].strip("`"), cells[3].strip("`")


def era_of(eras):
    """7.0 where there is a choice."""
    return "7.0" if "7.0" in eras else eras[-1]


def is_named_only(scenario):
    """Whether it is run only where its id is given: it leaves the node otherwise than it was."""
    return scenario.get("destructive", False) or scenario.get("consumer", {}).get("stream_flags", 0) & 1


def runs(whole):
    producers = dict(built_in())
    for era in ERAS:
        yield Run(f"era {era}", era)
    for quirk, told in quirk_table():
        own = [name for name, scenario in producers.items() if quirk in scenario.get("quirks", [])]
        if not own and told not in producers:
            yield Run(f"quirk {quirk}: no scenario", None, quirk)
            continue
        cases = sorted({*own, told} & set(producers))
        eras = [era for era in ERAS if all(era in producers[name].get("eras", ERAS) for name in cases)]
        all_of_it = not any(is_named_only(producers[name]) for name in cases) and (whole or quirk in WHOLE)
        yield Run(f"quirk {quirk}", era_of(eras), quirk, [] if all_of_it else cases, cases)


def play(run, dcproxy):
    """Gives what is wrong with what came of it, and how long the probe took."""
    if run.era is None:
        return ["no scenario of examples/scenarios says that it catches it"], 0
    node = None
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "r.json")
        try:
            # Some quirks show at places that the data of the default seed has; without, any data will do.
            data = ["--quirk", run.quirk] if run.quirk else ["--seed", "5"]
            command = [dcproxy, "node", "--listen", "127.0.0.1:0", "--items", "2000", "--era", run.era, *data]
            node = scenarios.Listener(command)
            command = [dcproxy, "probe", "--upstream", node.wait_for_address(), "-b", "default", "-u", "Administrator"]
            environment = {**os.environ, "DCPROXY_PASSWORD": "password"}
            since = time.monotonic()
            probe = subprocess.run(
                [*command, "--report", path, *run.cases], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, timeout=300,
            )  # fmt: skip
            took = time.monotonic() - since
            with open(path, encoding="utf-8") as file:
                report = json.load(file)
        except (OSError, ValueError, queue.Empty, subprocess.TimeoutExpired) as error:
            return [f"{type(error).__name__}: {error}", *(node.lines if node else [])], 0
        finally:
            if node:
                node.end()
    wrong = check(run, probe.returncode, report)
    return wrong + ([f"probe: {line}" for line in probe.stderr.splitlines()[:10]] if wrong else []), took


def check(run, exit_code, report):
    expected = 1 if run.quirk else 0
    wrong = []
    failed = {}
    for connection in report["connections"]:
        ids = [finding["id"] for finding in connection["findings"] if finding["verdict"] == "fail"]
        failed.setdefault(connection["case"], []).extend(ids)
    if exit_code != expected:
        wrong.append(f"exit code {exit_code}, not {expected}")
        said = [(c["case"], f) for c in report["connections"] for f in c["findings"]]
        said += [("the run", finding) for finding in report["findings"]]
        wrong += [f"{case}: {f['id']}: {f['verdict']}: {f['actual']}" for case, f in said if f["verdict"] != "pass"][:12]
    if report["era"] != run.era:
        wrong.append(f"era {report['era']}: {report['reason']}")
    wrong += [f"{case}: no finding of it failed" for case in run.failing if not failed.get(case)]
    return wrong


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dcproxy", required=True)
    parser.add_argument("--jobs", type=int, default=4, help="nodes at once; a probe mostly waits")
    parser.add_argument("names", nargs="*", help="only those whose names have one of these in them")
    options = parser.parse_args(argv)
    wanted = [
        run
        for run in runs("PROBE_ALL" in os.environ)
        if not options.names or any(name in run.name for name in options.names)
    ]
    began = time.monotonic()
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for run, (wrong, took) in zip(wanted, pool.map(lambda run: play(run, options.dcproxy), wanted)):
            what = ", ".join(run.cases) or "the whole matrix"
            print(f"{'BAD' if wrong else 'ok '} {run.name}, era {run.era}, {took:.1f} s: {what}", flush=True)
            for line in wrong:
                print(f"      {line}", flush=True)
            bad += bool(wrong)
    print(f"probe: {len(wanted)} nodes, {bad} of which not as expected, {time.monotonic() - began:.0f} s")
    return bad != 0 or not wanted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
