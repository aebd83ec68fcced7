#!/usr/bin/env python3
"""Instructions that the processor needs for a frame, counted by valgrind's callgrind, against the budgets in instructions.tsv.

    instructions.py --dcproxy target/debug/dcproxy   counts in the test program `allocations` beside it, as CI has built it
    instructions.py --write                          the same, and writes what was found and 15 % as the new budgets
    instructions.py --program BENCH                  counts in that one (benches/relay.rs), and prints; the budgets are not its

Counts do not depend on what else the machine does, as times would. They are those of the profile that is built: CI's are of `dev`.
Prints a line for each. Exits 1 where more were needed than the budget allows, or a scenario that does not fire costs more than 3 %.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

BUDGETS = pathlib.Path(__file__).with_suffix(".tsv")
HEADROOM = 1.15
# What a scenario that does not fire may cost a bulk transfer.
ARMED = 0.03
TEST = ["counted::every_way_sees_every_frame", "--exact", "--nocapture", "--test-threads=1"]


def budgets():
    """What is counted, and how many instructions a frame may take."""
    rows = [line.split("\t") for line in BUDGETS.read_text().splitlines() if line and not line.startswith("#")]
    return {way: int(budget) for way, budget, *_ in rows}


def built():
    """The test program, which `cargo test` has built already."""
    command = ["cargo", "test", "--locked", "--no-run", "--test", "allocations", "--message-format=json"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    messages = [json.loads(line) for line in output.splitlines()]
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "allocations")


def count(command, way):
    """Instructions a frame."""
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*relayed::counted_*"]
    ran = subprocess.run(valgrind + command, env=os.environ | {"DCPROXY_RELAY": way}, capture_output=True, text=True)
    frames = re.search(r"(\d+) frames$", ran.stdout, re.MULTILINE)
    collected = re.search(r"Collected : (\d+)", ran.stderr)
    if ran.returncode != 0 or not frames or not collected or int(collected[1]) == 0:
        sys.exit(f"instructions: {way}: expected frames and a count, found\n{ran.stdout}\n{ran.stderr}")
    return int(collected[1]) / int(frames[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dcproxy", help="where the programs under test are built; the one beside it is looked for by cargo")
    parser.add_argument("--program", help="count in this program instead, and hold nothing against it")
    parser.add_argument("--write", action="store_true", help="make what is found, and 15 %%, the budgets")
    args = parser.parse_args()
    limits = budgets()
    command = [args.program] if args.program else [built()] + TEST
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        counts = dict(zip(limits, pool.map(lambda way: count(command, way), limits)))
    if args.write:
        limits = {way: round(found * HEADROOM) for way, found in counts.items()}
        comments = [line for line in BUDGETS.read_text().splitlines() if line.startswith("#")]
        BUDGETS.write_text("\n".join(comments + [f"{way}\t{limit}" for way, limit in limits.items()]) + "\n")
    failed = False
    for way, found in counts.items():
        budget = "" if args.program else f", of at most {limits[way]}"
        print(f"instructions a frame, {way}: {found:.0f}{budget}")
        if not args.program and found > limits[way]:
            failed = True
            print(f"FAILED {way}: expected at most {limits[way]} instructions a frame, found {found:.0f}; see {BUDGETS.name}")
    for armed, without, of, most in [
        ("armed", "judged", "", ARMED),
        ("unlike-armed", "unlike", ", where no frame is alike to the one before", None),
    ]:
        more = counts[armed] / counts[without] - 1
        print(f"instructions a frame, a scenario that does not fire{of}: {more * 100:+.1f} %")
        if most is not None and more > most:
            failed = True
            print(f"FAILED: expected a scenario that does not fire to cost at most {most * 100:.0f} %, found {more * 100:.1f} %")
    sys.exit(failed)


if __name__ == "__main__":
    main()
