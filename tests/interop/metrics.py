#!/usr/bin/env python3
"""`/metrics` of a live `dcproxy proxy --api`, as Prometheus' own parsers read it, while a consumer that shares no code with it
streams through it and a scenario is run; then compared with the run's report. With promtool on the PATH, its check too.

    metrics.py --dcproxy target/debug/dcproxy [--python PYTHON WITH prometheus-client]
"""

import argparse
import collections
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import scenarios

try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
    from prometheus_client.parser import text_string_to_metric_families as plain_text
except ImportError:
    open_metrics = plain_text = None

HERE = os.path.dirname(os.path.abspath(__file__))
# What Prometheus 2.53 and 3 say, and what asks for the older text alone.
ACCEPTS = {
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2": "application/openmetrics-text; version=1.0.0; charset=utf-8",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2": "application/openmetrics-text; version=1.0.0; charset=utf-8",
    "text/plain;version=0.0.4": "text/plain; version=0.0.4; charset=utf-8",
    "*/*": "text/plain; version=0.0.4; charset=utf-8",
}


def scrape(api, accept):
    request = urllib.request.Request(f"http://{api}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def families(content_type, text):
    """By the name that the older text has for each: OpenMetrics calls a counter without its `_total`."""
    parse = open_metrics if content_type.startswith("application/openmetrics") else plain_text
    return {family.name: family for family in parse(text)}


def values(found, name, **labels):
    """The samples of that name with these labels, among others: (labels, value)."""
    for family in found.values():
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                yield sample.labels, sample.value


def total(found, name, **labels):
    return sum(value for _, value in values(found, name, **labels))


def both_formats(api, wrong):
    """What each Accept is answered with; both say the same families, and OpenMetrics knows their units."""
    read = {}
    for accept, expected in ACCEPTS.items():
        content_type, text = scrape(api, accept)
        if content_type != expected:
            wrong.append(f"Accept {accept}: expected {expected}, found {content_type}")
        read[content_type] = (families(content_type, text), text)
    (new, _), (old, text) = (read[expected] for expected in dict.fromkeys(ACCEPTS.values()))
    # The older parser strips `_total` of counters too; an info is a gauge to it.
    names = {name for name in new if new[name].type != "info"}
    if names != {name for name in old if not name.endswith("_info")}:
        wrong.append(f"the formats differ: {sorted(names ^ set(old))}")
    for name, family in new.items():
        if family.type == "unknown" or not family.documentation:
            wrong.append(f"{name}: type {family.type}, '{family.documentation}'")
        if name.endswith(("_bytes", "_seconds")) and family.unit != name.rsplit("_", 1)[1]:
            wrong.append(f"{name}: its unit is '{family.unit}'")
    if promtool := shutil.which("promtool"):
        check = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
        if check.returncode or check.stderr:
            wrong.append(f"promtool: {check.stdout}{check.stderr}")
    return old


def only_up(before, after, wrong):
    """No counter goes down."""
    for family in before.values():
        if family.type not in ("counter", "histogram"):
            continue
        now = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in after[family.name].samples}
        for sample in family.samples:
            value = now.get((sample.name, tuple(sorted(sample.labels.items()))))
            if value is None or value < sample.value:
                wrong.append(f"{sample.name}{sample.labels} was {sample.value}, is {value}")


def compare(found, report, wrong):
    """The counts are the report's."""
    connections = report["connections"]
    for end, name, direction in [
        ("producer", "dcproxy_frames_received_total", "downstream"),
        ("consumer", "dcproxy_frames_sent_total", "upstream"),
    ]:
        expected = sum(connection["frames"][end] for connection in connections)
        actual = total(found, name, direction=direction, origin="peer")
        if actual != expected or not expected:
            wrong.append(f"frames of the {end}: the report says {expected}, {name} {actual}")
    expected = collections.Counter(
        (o["message"], o["status"], o["origin"]) for connection in connections for o in connection["orphans"]
    )
    actual = {
        (labels["message"], labels["status"], labels["origin"]): value
        for labels, value in values(found, "dcproxy_orphaned_responses_total")
    }
    if actual != expected or not expected:
        wrong.append(f"orphaned responses: the report says {dict(expected)}, /metrics {actual}")
    verdicts = collections.Counter(connection["verdict"] for connection in connections)
    actual = {labels["verdict"]: value for labels, value in values(found, "dcproxy_verdicts_total", occasion="ended")}
    if actual != verdicts:
        wrong.append(f"verdicts: the report says {dict(verdicts)}, /metrics {actual}")


def run(dcproxy):
    wrong = []
    started = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "r.json")
        try:
            node = scenarios.Listener([dcproxy, "node", "--listen", "127.0.0.1:0", "--seed", "5", "--items", "3000"])
            started.append(node)
            proxy = scenarios.Listener([
                dcproxy, "proxy", "--listen", "127.0.0.1:0", "--upstream", node.wait_for_address(), "--api", "127.0.0.1:0",
                "--scenario", "orphaned-responses", "--seed", "3", "--report", path,
            ])  # fmt: skip
            started.append(proxy)
            port = proxy.wait_for_address().rsplit(":", 1)[1]
            api = None
            while api is None:
                api = next((line.split()[-1] for line in proxy.lines if line.startswith("api listening on ")), None)
                time.sleep(0.01)
            command = [sys.executable, os.path.join(HERE, "consumer.py"), port, "--seconds", "8"]
            consumer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            started.append(argparse.Namespace(process=consumer, end=consumer.kill, lines=[]))
            scrapes = [both_formats(api, wrong)]
            while consumer.poll() is None and not wrong:
                scrapes.append(families(*scrape(api, "*/*")))
                only_up(scrapes[-2], scrapes[-1], wrong)
                time.sleep(0.05)
            consumer.communicate(timeout=60)
            # The proxy may hear of the consumer's end a moment later.
            until = time.monotonic() + 30
            while total(scrapes[-1], "dcproxy_connections_closed_total") < 1 and time.monotonic() < until:
                scrapes.append(families(*scrape(api, "*/*")))
            found = both_formats(api, wrong)
            only_up(scrapes[0], found, wrong)
            proxy.process.send_signal(signal.SIGTERM)
            proxy.process.wait(timeout=60)
            with open(path, encoding="utf-8") as file:
                compare(found, json.load(file), wrong)
            open_at_most = max(total(one, "dcproxy_streams", edge="upstream", state="open") for one in scrapes)
            if open_at_most < 4:
                wrong.append(f"a consumer of 4 vbuckets was seen with {open_at_most} streams")
            print(f"metrics: {len(scrapes)} scrapes of {len(found)} families, {sum(len(f.samples) for f in found.values())} series")
        finally:
            for one in reversed(started):
                one.end()
    return wrong


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dcproxy", required=True)
    parser.add_argument("--python", help="one that has prometheus-client; it is started if this one has not")
    options = parser.parse_args(argv)
    if plain_text is None:
        if options.python is None:
            print("metrics: expected the package prometheus-client, or --python, found neither", file=sys.stderr)
            return 2
        os.execv(options.python, [options.python, os.path.abspath(__file__), "--dcproxy", options.dcproxy])
    if not shutil.which("promtool"):
        print("metrics: SKIPPED promtool, expected it on the PATH, found none", file=sys.stderr)
    wrong = run(options.dcproxy)
    for line in wrong[:20]:
        print(f"metrics: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
