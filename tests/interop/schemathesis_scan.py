#!/usr/bin/env python3
"""schemathesis, which makes requests up from an API's OpenAPI document, against `dcproxy serve`.

A proxy is served before an embedded node, with a consumer behind it that streams all the while. No request may be answered with
a 5xx or otherwise than the document says, the tool must be there and well at the end, and the journal must tell of frames.

    schemathesis_scan.py --dcproxy target/debug/dcproxy --schemathesis VENV/bin/st [--seconds 30] [--seed 7]
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from scenarios import HERE, Listener

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]


class Served(Listener):
    """`dcproxy serve`: its API's address is told in another line."""

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            if line.startswith("api listening on "):
                self.address.put(line.split()[3])
        self.address.put(None)


def ask(api, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{api}{path}", data, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or "null")


def consume(address, stopped):
    """One consumer after the other: requests may close what is open."""
    command = [sys.executable, os.path.join(HERE, "consumer.py"), address.rsplit(":", 1)[1], "--seconds", "10"]
    while not stopped.is_set():
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            if stopped.wait(0.2):
                process.kill()
        process.wait()


def follow(api, seconds):
    """How many events the journal tells of within a time."""
    events, until = 0, time.monotonic() + seconds
    with urllib.request.urlopen(f"http://{api}/dcp/v1/proxies/scanned/journal?events=frame", timeout=seconds) as tail:
        while time.monotonic() < until and events < 100:
            if tail.readline().startswith(b"event: "):
                events += 1
    return events


def scan(options, folder):
    started, stopped = [], threading.Event()
    try:
        node = Listener([options.dcproxy, "node", "--listen", "127.0.0.1:0", "--items", "2000", "--seed", "3"])
        started.append(node)
        upstream = node.wait_for_address()
        serve = ["serve", "--api", "127.0.0.1:0", "--settle", "200ms", "--api-recordings", folder]
        tool = Served([options.dcproxy, *serve])
        started.append(tool)
        api = tool.wait_for_address()
        proxy = ask(api, "POST", "/proxies", {"name": "scanned", "listen": "127.0.0.1:0", "upstream": upstream})
        consumer = threading.Thread(target=consume, args=(proxy["listen"], stopped))
        consumer.start()
        command = [options.schemathesis, "run", f"http://{api}/dcp/v1/openapi.json", "--checks", ",".join(CHECKS)]
        command += ["--seed", str(options.seed), "--max-time", str(options.seconds), "--request-timeout", "20", "--no-color"]
        command += ["--max-examples", str(options.examples), "--phases", "coverage,fuzzing", "--continue-on-failure"]
        # A journal has no end.
        command += ["--exclude-operation-id", "followJournal", "--generation-database", "none", "--warnings", "off"]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": os.path.join(HERE, "api_scan")}
        # A folder of its own: the reports of failures, and what hypothesis keeps.
        scanned = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
        print(scanned.stdout[-20_000:], scanned.stderr[-2_000:])
        # Requests may have removed the proxy, or left toxics on it.
        ask(api, "POST", "/populate", [{key: proxy[key] for key in ("name", "listen", "upstream")}])
        ask(api, "POST", "/reset")
        events = follow(api, 10)
        print(f"the journal told {events} frames; the tool is {'there' if tool.process.poll() is None else 'gone'}")
        health = ask(api, "GET", "/healthz")["status"]
        crashed = [line for line in tool.lines if "panicked" in line or "crashed" in line]
        print("\n".join(crashed))
        # Where it has no time it says that all is well.
        tested = re.search(r"Tested: (\d+)", scanned.stdout)
        has_tested = tested is not None and int(tested[1]) > 20
        if not has_tested:
            print(f"expected more than 20 operations that were tried, found {tested and tested[1]}")
        return scanned.returncode == 0 and has_tested and events > 0 and health == "ok" and not crashed
    finally:
        stopped.set()
        for one in reversed(started):
            one.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dcproxy", required=True)
    parser.add_argument("--schemathesis", required=True)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--examples", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    options.dcproxy = os.path.abspath(options.dcproxy)
    options.schemathesis = os.path.abspath(options.schemathesis)
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if scan(options, folder) else 1)


if __name__ == "__main__":
    main()
