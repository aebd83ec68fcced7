#!/usr/bin/env python3
"""docs/API.md says what is so: its code is that of the tests which clients.py runs, and its answers are those of a real process.

A block of code under `<!-- tests/interop/clients/... -->` is that file, from `docs:begin` to `docs:end` where it has such
lines. In a block of `console` each line `$ COMMAND` is run, and what stands under it is what it prints: JSON is compared by
its keys, and by its values but for numbers and texts with digits, `...` in a list stands for more; anything else line by line
with numbers left out. Programs started with `&` go on until the page is done. Ports are taken from what is free.

    api_docs.py --dcproxy target/debug/dcproxy [--write]
"""

import argparse
import json
import os
import queue
import re
import shlex
import socket
import subprocess
import sys
import time

from scenarios import HERE, Listener

ROOT = os.path.join(HERE, "../..")
PAGE = os.path.join(ROOT, "docs/API.md")
INCLUDED = re.compile(r"^<!-- (tests/\S+) -->\n```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLAYED = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A command that changes something.
ASKS_MORE = re.compile(r" -d '| -X |&$")
PATIENCE = 20.0
PORTS = re.compile(r"(?<=[\d.a-z]:)(\d{4,5})\b")


def region(path):
    """What the page shows of a file."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        lines = file.readlines()
    marks = [at for at, line in enumerate(lines) if re.search(r"\bdocs:(begin|end)\b", line)]
    if len(marks) == 2:
        lines = lines[marks[0] + 1 : marks[1]]
    return "".join(lines).strip("\n") + "\n"


def check_code(page):
    wrong = []
    found = list(INCLUDED.finditer(page))
    if not found:
        wrong.append("expected code of the tests, found none")
    for block in found:
        if block[3] != region(block[1]):
            wrong.append(f"the code under {block[1]} is not that file's: --write takes it over")
    return wrong


def written(page):
    return INCLUDED.sub(lambda block: f"<!-- {block[1]} -->\n```{block[2]}\n{region(block[1])}```", page)


class Played:
    """The page's console, from its first line to its last."""

    def __init__(self, dcproxy):
        self.dcproxy = os.path.abspath(dcproxy)
        self.ports = {}
        self.started = []

    def port(self, shown):
        """The one that stands for a port of the page."""
        if shown not in self.ports:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                self.ports[shown] = str(probe.getsockname()[1])
        return self.ports[shown]

    def run(self, command):
        command = PORTS.sub(lambda found: self.port(found[1]), command)
        if command.endswith("&"):
            words = shlex.split(command.rstrip("& "))
            words[0] = self.dcproxy if words[0] == "dcproxy" else words[0]
            listener = Listener(words, "api listening on " if "serve" in words else "listening on ")
            self.started.append(listener)
            if "--connect" not in words:
                listener.wait_for_address()
            return ""
        env = {**os.environ, "PATH": f"{os.path.dirname(self.dcproxy)}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, env=env, cwd=ROOT)
        return done.stdout + done.stderr

    def shown(self, real):
        """As the page has it."""
        for page, port in self.ports.items():
            real = real.replace(port, page)
        return real if not real or real.endswith("\n") else real + "\n"

    def end(self):
        for one in self.started:
            one.end()


def fits(shown, real):
    """Whether an answer has the shape that is shown: its keys, what is nothing and what is something, and words without digits."""
    if isinstance(shown, dict):
        return isinstance(real, dict) and set(shown) == set(real) and all(fits(shown[key], real[key]) for key in shown)
    if isinstance(shown, list):
        if not isinstance(real, list):
            return False
        whole = [inner for inner in shown if inner != "..."]
        return (len(real) == len(whole) or len(real) > len(whole) < len(shown)) and all(map(fits, whole, real))
    if isinstance(shown, str):
        return isinstance(real, str) and (shown == real or bool(real) and any(letter.isdigit() for letter in shown))
    if isinstance(shown, bool) or shown is None:
        return shown is real
    return isinstance(real, (int, float)) and bool(shown) == bool(real)


def without_numbers(text):
    return [re.sub(r"\d+", "N", line.rstrip()) for line in text.strip().splitlines()]


def agree(shown, real):
    try:
        return fits(json.loads(shown), json.loads(real))
    except ValueError:
        wanted, found = without_numbers(shown), without_numbers(real)
        for line in wanted:
            if line == "...":
                return True
            if not found or found.pop(0) != line:
                return False
        return not found


def check_console(page, dcproxy):
    """What is wrong, and the page as it would be right."""
    wrong = []
    played = Played(dcproxy)

    def play(block):
        told = []
        for entry in re.split(r"^\$ ", block[1], flags=re.MULTILINE)[1:]:
            command, _, shown = entry.partition("\n")
            while command.endswith("\\"):
                more, _, shown = shown.partition("\n")
                command += "\n" + more
            real = played.run(command)
            # What only asks may be asked again: nobody says when a connection is there.
            deadline = time.monotonic() + PATIENCE
            while not agree(shown, real) and not ASKS_MORE.search(command) and time.monotonic() < deadline:
                time.sleep(0.1)
                real = played.run(command)
            if not agree(shown, real):
                wrong.append(f"$ {command}\n      the page says: {shown.strip()}\n      it is: {real.strip()}")
            told.append(f"$ {command}\n{shown if agree(shown, real) else played.shown(real)}")
        return "```console\n" + "".join(told) + "```"

    try:
        page = PLAYED.sub(play, page)
    finally:
        played.end()
    if not played.started:
        wrong.append("expected a console to play, found none")
    return wrong, page


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dcproxy", required=True)
    parser.add_argument("--write", action="store_true", help="takes the tests' code and the answers over into the page")
    options = parser.parse_args(argv)
    since = time.monotonic()
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    if options.write:
        page = written(page)
    wrong = check_code(page)
    try:
        differs, played = check_console(page, options.dcproxy)
        wrong += differs
        if options.write:
            with open(PAGE, "w", encoding="utf-8") as file:
                file.write(played)
    except (OSError, queue.Empty, subprocess.TimeoutExpired) as error:
        wrong.append(f"{type(error).__name__}: {error}")
    print(f"{'FAIL' if wrong else 'ok':5} docs/API.md ({time.monotonic() - since:.1f} s)", *wrong, sep="\n      ", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
