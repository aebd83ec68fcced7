#!/usr/bin/env python3
"""The proxy between two ends that know nothing of it, on a machine between theirs: docs/INSERTION.md, in network namespaces.

    client namespace -- veth -- router namespace (the proxy, and the rules that `dcproxy rules` prints) -- veth -- server namespace

Each stage is three namespaces of its own, made and removed here; the stages run at once, what is done on one in turn. The
consumer dials the node's own address. Where this machine lacks rights or parts of the kernel, what needs them is skipped,
loudly.

    insertion.py --dcproxy target/debug/dcproxy [PART OF A NAME ...]
"""

import argparse
import concurrent.futures
import contextlib
import itertools
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PORT = 11999  # where the proxy listens
PATIENCE = 60  # seconds; nothing takes so long unless it hangs
NAMES = (f"dcp{os.getpid()}x{count}" for count in itertools.count())
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("DCPROXY_")}

# A router that filters by connections, as most do: what its tracking takes for nonsense goes no further.
FIREWALL = """
table inet users_own {
	chain input {
		type filter hook input priority 0; policy accept;
		ct state invalid counter drop
	}
	chain output {
		type filter hook output priority 0; policy accept;
		ct state invalid counter drop
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
		ct state invalid counter drop
	}
}
"""

# Tells who dials it, and gives back what it is sent.
ECHO = """
import socket, sys, threading
listeners = []
for host in sys.argv[1:]:
    listener = socket.create_server((host, 11210), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=64)
    listeners.append(listener)
def serve(stream, peer):
    while data := stream.recv(65536):
        stream.sendall(("%s %d\\n" % peer[:2]).encode())
def accept(listener):
    while True:
        threading.Thread(target=serve, args=listener.accept(), daemon=True).start()
for listener in listeners[1:]:
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
print("ready", flush=True)
accept(listeners[0])
"""

# Dials all at once, each host from the same ports; tells where each came from and how the other end saw it.
DIAL = """
import socket, sys
(first, count), streams = map(int, sys.argv[1:3]), []
for host in sys.argv[3:]:
    for n in range(count):
        stream = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stream.settimeout(20)
        stream.bind(("", first + n))
        stream.connect((host, 11210))
        streams.append(stream)
for stream in streams:
    stream.sendall(b"hello")
for stream in streams:
    print("%s %d" % stream.getsockname()[:2], stream.recv(100).decode().strip(), *stream.getpeername()[:2], sep=",")
"""


class Wrong(Exception):
    """What came of something is not what must."""


def run(*command, **options):
    """Runs a command to its end; its output is in the exception if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=ENVIRONMENT, **options)
    if done.returncode:
        raise Wrong(f"{' '.join(command)}: ended with {done.returncode}: {done.stdout.strip()} {done.stderr.strip()}")
    return done.stdout


class Started:
    """A program that goes on; what it writes to stderr is kept."""

    def __init__(self, *command):
        self.lines = []
        self.news = queue.SimpleQueue()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            self.news.put(line)
        self.news.put(None)

    def wait_for(self, part):
        """The next line with this in it."""
        while (line := self.news.get(timeout=PATIENCE)) is not None:
            if part in line:
                return line.rstrip()
        raise Wrong(f"no line with '{part}': {self.lines}")

    def end(self):
        """By its own pid, and only if it is still there."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Stage:
    """Three namespaces; the programs that are started on it end with it."""

    def __init__(self, dcproxy, is_ipv6):
        self.dcproxy = dcproxy
        self.is_ipv6 = is_ipv6
        self.started = []
        self.names = self.client, self.router, self.server = [next(NAMES) for _ in range(3)]
        net = "fd00:dc:%d::%d" if is_ipv6 else "10.77.%d.%d"
        self.client_at, self.router_at = net % (1, 2), net % (2, 1)
        self.router_by_client = net % (1, 1)
        self.nodes = [net % (2, 2), net % (2, 3)]
        self.length = 64 if is_ipv6 else 24

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def build(self):
        for name in self.names:
            run("ip", "netns", "add", name)
            self.batch(name, "link set lo up")
        run("ip", "link", "add", "eth0", "netns", self.client, "type", "veth", "peer", "name", "clients", "netns", self.router)
        run("ip", "link", "add", "eth0", "netns", self.server, "type", "veth", "peer", "name", "nodes", "netns", self.router)
        for first, (name, addresses, gateway) in enumerate([
            (self.client, {"eth0": [self.client_at]}, self.router_by_client),
            (self.router, {"clients": [self.router_by_client], "nodes": [self.router_at]}, None),
            (self.server, {"eth0": self.nodes}, self.router_at),
        ]):
            nodad = " nodad" if self.is_ipv6 else ""
            # Routers of IPv6 need addresses of the link too. Those of the kernel's own making would come a second later, and
            # look like what rules have left.
            lines = [f"link set {link} addrgenmode none up" for link in addresses]
            lines += [f"addr add fe80::{number}/64 dev {link} nodad" for number, link in enumerate(addresses, 1 + 2 * first)]
            lines += [f"addr add {at}/{self.length} dev {link}{nodad}" for link, hosts in addresses.items() for at in hosts]
            self.batch(name, *lines, *([f"route add default via {gateway}"] if gateway else []))
        forwarding = "net.ipv6.conf.all.forwarding" if self.is_ipv6 else "net.ipv4.ip_forward"
        self.within(self.router, "sysctl", "-q", "-w", f"{forwarding}=1")
        self.within(self.router, "nft", "-f", "-", input=FIREWALL)

    def batch(self, name, *lines):
        run("ip", "-n", name, "-batch", "-", input="\n".join(lines))

    def __exit__(self, _=None, error=None, __=None):
        for one in self.started:
            one.end()
            if error:
                error.args = (*error.args, f"{one.process.args[3:6]} {one.process.returncode}: {one.lines[-5:]}")
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def within(self, name, *command, **options):
        return run("ip", "netns", "exec", name, *command, **options)

    def start(self, name, *command):
        """A program in a namespace; `ip netns exec` becomes it, so that its pid is the program's."""
        one = Started("ip", "netns", "exec", name, *command)
        self.started.append(one)
        return one

    def listen(self, name, *command):
        """A dcproxy that listens."""
        one = self.start(name, self.dcproxy, *command)
        one.wait_for("listening on ")
        return one

    def at(self, host, port=11210):
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def everywhere(self):
        return self.at("::" if self.is_ipv6 else "0.0.0.0", PORT)

    def established(self, name, match):
        """The addresses of the other ends of a namespace's connections, once there are any."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            lines = self.within(name, "ss", "-Htn", "state", "established", match).splitlines()
            if lines:
                return [tuple(line.split()[2:4]) for line in lines]
            time.sleep(0.02)
        raise Wrong(f"no connection with {match}")

    def state(self, name):
        """Everything that rules change."""
        return [
            self.within(name, *command.split())
            for command in ("nft list tables", "ip -4 rule", "ip -6 rule", "ip -4 route show table all", "ip -6 route show table all")
        ]

    @contextlib.contextmanager
    def rules(self, *flags, name=None):
        """The rules that `dcproxy rules` prints: given twice, for that must be the same; undone twice, with nothing left."""
        name = name or self.router
        before = self.state(name)
        script, undo = (run(self.dcproxy, "rules", *flags, *more) for more in ([], ["--undo"]))
        self.within(name, "sh", input=script)
        once = self.state(name) + [self.within(name, "nft", "list", "ruleset")]
        self.within(name, "sh", input=script)
        twice = self.state(name) + [self.within(name, "nft", "list", "ruleset")]
        if [strip_counters(text) for text in once] != [strip_counters(text) for text in twice]:
            raise Wrong(f"rules given twice are not as rules given once: {once} {twice}")
        if once[:-1] == before:
            raise Wrong("the rules change nothing")
        try:
            yield
        finally:
            for _ in range(2):
                self.within(name, "sh", input=undo)
        if self.state(name) != before:
            raise Wrong(f"the undo leaves something: {before} {self.state(name)}")


def strip_counters(text):
    return [line.split("counter")[0] for line in text.splitlines()]


def orphans(stage, mode, listen, tls):
    """The scenario `orphaned-responses` with a healthy node and with one that has mb-35287."""
    node_tls, proxy_tls, client_tls = [], [], []
    folder = stage.folder.name
    if tls:
        node_ca, proxy_ca = os.path.join(folder, "node-ca.pem"), os.path.join(folder, "proxy-ca.pem")
        node_tls = ["--tls", "auto", "--tls-ca-out", node_ca]
        # The proxy is dialled by the names of the nodes.
        names = [flag for node in stage.nodes for flag in ("--tls-name", node)]
        proxy_tls = ["--tls", "auto", "--tls-ca-out", proxy_ca, *names, "--upstream-tls", "--upstream-ca", node_ca]
        client_tls = ["--upstream-tls", "--upstream-ca", proxy_ca]
    for node_at, quirk, exit_code in zip(stage.nodes, [[], ["--quirk", "mb-35287"]], [0, 1]):
        node = stage.listen(stage.server, "node", "--listen", stage.at(node_at), "--items", "3000", "--seed", "5", *quirk, *node_tls)
        report, recording = os.path.join(folder, "r.json"), os.path.join(folder, "r.pcapng")
        proxy = stage.listen(
            stage.router, "proxy", "--listen", listen, "--transparent", mode, "--once", "--scenario", "orphaned-responses",
            "--seed", "3", "--settle", "1s", "--report", report, "--record", recording, "--timeout", "40s", *proxy_tls,
        )  # fmt: skip
        consumer = stage.start(stage.client, stage.dcproxy, "node", "--connect", stage.at(node_at), *client_tls)
        [(seen_here, seen_there)] = stage.established(stage.client, f"dport = :11210")
        [(_, seen_by_node)] = stage.established(stage.server, f"sport = :11210")
        if seen_there != stage.at(node_at):
            raise Wrong(f"the consumer sees {seen_there}, not the node's address {stage.at(node_at)}")
        # With redirect the proxy dials as what it is.
        own = seen_by_node.rsplit(":", 1)[0].strip("[]")
        if seen_by_node != seen_here if mode == "tproxy" else own != stage.router_at:
            raise Wrong(f"the node sees {seen_by_node}; the consumer is {seen_here}, the router {stage.router_at}")
        ended = proxy.process.wait(timeout=PATIENCE)
        consumer.process.wait(timeout=PATIENCE)
        if ended != exit_code:
            raise Wrong(f"exit code {ended}, not {exit_code}; proxy: {proxy.lines}; consumer: {consumer.lines}")
        with open(report, encoding="utf-8") as file:
            [connection] = json.load(file)["connections"]
        told = connection["consumer"], connection["producer"]
        if told != (seen_here, stage.at(node_at)):
            raise Wrong(f"the report names {told}, not {seen_here} and {stage.at(node_at)}")
        if not connection["orphans"]:
            raise Wrong("no orphaned response")
        failed = [finding["id"] for finding in connection["findings"] if finding["verdict"] == "fail"]
        if failed != (["connection-kept"] if quirk else []):
            raise Wrong(f"failed: {failed}")
        checked = subprocess.run([stage.dcproxy, "check", recording], capture_output=True, text=True, env=ENVIRONMENT, check=False)
        if checked.returncode != exit_code:
            raise Wrong(f"check of the recording: {checked.returncode}, not {exit_code}: {checked.stdout} {checked.stderr}")
        node.end()


def many(stage, mode, listen):
    """Many diallers at once, some from the same port to two nodes: each has its own connection, none gets another's bytes."""
    echo = stage.start(stage.server, sys.executable, "-c", ECHO.replace('print("ready"', 'print("ready", file=sys.stderr'), *stage.nodes)
    echo.wait_for("ready")
    proxy = stage.listen(stage.router, "proxy", "--listen", listen, "--transparent", mode)
    lines = stage.within(stage.client, sys.executable, "-c", DIAL, "40000", "20", *stage.nodes).splitlines()
    sources = set()
    for line, node in zip(lines, [node for node in stage.nodes for _ in range(20)], strict=True):
        here, seen, there, port = line.split(",")
        sources.add((seen, there))
        if (there, port) != (node, "11210"):
            raise Wrong(f"dialled {node}, connected to {there} {port}")
        if mode == "tproxy" and here != seen or mode == "redirect" and seen.split()[0] != stage.router_at:
            raise Wrong(f"{here} is seen by {node} as {seen}")
    if len(sources) != len(lines):
        raise Wrong(f"{len(lines)} connections, {len(sources)} sources")
    # The same ports again, right after: the kernel may still remember their connections.
    stage.within(stage.client, sys.executable, "-c", DIAL, "40000", "20", *stage.nodes)
    proxy.process.send_signal(signal.SIGTERM)
    if ended := proxy.process.wait(timeout=PATIENCE):
        raise Wrong(f"exit code {ended}: {proxy.lines}")
    echo.end()


def direct(stage, mode, listen):
    """Who dials the proxy itself is sent away, with one line that says why."""
    proxy = stage.listen(stage.router, "proxy", "--listen", listen, "--transparent", mode)
    dial = f"import socket; s = socket.create_connection(({stage.router_by_client!r}, {PORT}), 10); s.settimeout(10); print(s.recv(1))"
    try:
        answer = stage.within(stage.client, sys.executable, "-c", dial)
    except Wrong as error:
        answer = str(error)
    if "b''" not in answer and "ConnectionResetError" not in answer:
        raise Wrong(f"not closed: {answer}")
    proxy.wait_for("dialled the proxy itself" if mode == "redirect" else "an address of this machine")
    proxy.end()


def without(stage):
    """With the rules undone, the ends reach each other without the proxy."""
    echo = stage.start(stage.server, sys.executable, "-c", ECHO.replace('print("ready"', 'print("ready", file=sys.stderr'), *stage.nodes)
    echo.wait_for("ready")
    [line] = stage.within(stage.client, sys.executable, "-c", DIAL, "50000", "1", stage.nodes[0]).splitlines()
    here, seen, _, _ = line.split(",")
    if here != seen:
        raise Wrong(f"{here} is seen as {seen}")
    echo.end()


def insertion(mode, is_ipv6, dcproxy, tls):
    """All that is done on one stage of a mode."""
    with Stage(dcproxy, is_ipv6) as stage, tempfile.TemporaryDirectory() as folder:
        stage.folder = argparse.Namespace(name=folder)
        # What tproxy brings needs no listener that others can reach.
        loopback = "::1" if is_ipv6 else "127.0.0.1"
        listen = stage.at(loopback, PORT) if mode == "tproxy" else stage.everywhere()
        to = [flag for node in stage.nodes for flag in ("--to", node)]
        with stage.rules("--transparent", mode, "--listen", listen, "--interface", "clients", *to):
            orphans(stage, mode, listen, tls)
            firewall = stage.within(stage.router, "nft", "list", "table", "inet", "users_own")
            tracked = stage.within(stage.router, "cat", "/proc/sys/net/netfilter/nf_conntrack_count").strip()
            if mode == "tproxy" and (firewall.count("counter packets 0 ") != FIREWALL.count("counter") or tracked != "0"):
                raise Wrong(f"connection tracking, which takes the two connections for one, knows {tracked}: {firewall}")
            if not tls:
                many(stage, mode, listen)
        without(stage)


def dual_stack(mode, is_ipv6, dcproxy):
    """A listener on [::] takes IPv4 as well, with rules for both."""
    with Stage(dcproxy, is_ipv6) as stage:
        listen = f"[::]:{PORT}"
        with stage.rules("--transparent", mode, "--listen", listen):
            many(stage, mode, listen)
            direct(stage, mode, listen)


def local(dcproxy, is_ipv6):
    """On the consumer's own machine: what its programs dial is redirected, what the proxy dials is not."""
    with Stage(dcproxy, is_ipv6) as stage:
        stage.router_at, stage.router = stage.client_at, stage.client
        listen = stage.at("::1" if is_ipv6 else "127.0.0.1", PORT)
        flags = ["--transparent", "redirect", "--listen", listen, "--local"]
        with stage.rules(*flags, name=stage.client):
            many(stage, "redirect", listen)
            # Without the mark the proxy's own connection comes back: it is known as such, at the first time.
            proxy = stage.listen(stage.client, "proxy", "--listen", listen, "--transparent", "redirect", "--mark", "0")
            dial = f"import socket; s = socket.create_connection(({stage.nodes[0]!r}, 11210), 10); s.settimeout(10); print(s.recv(1))"
            if "b''" not in (answer := stage.within(stage.client, sys.executable, "-c", dial)):
                raise Wrong(f"not closed: {answer}")
            proxy.wait_for("the proxy's own connection to ")
            proxy.process.send_signal(signal.SIGTERM)
            proxy.process.wait(timeout=PATIENCE)
            if (lines := sum("own connection" in line for line in proxy.lines)) != 1:
                raise Wrong(f"{lines} connections came back")


def page(dcproxy, folder):
    """The commands of docs/INSERTION.md, one after another, but for the names of the namespaces."""
    with open(os.path.join(HERE, "../../docs/INSERTION.md"), encoding="utf-8") as file:
        blocks = re.findall(r"^```sh\n(.*?)^```$", file.read(), re.MULTILINE | re.DOTALL)
    script = "set -e\n" + "\n".join(blocks)
    names = {name: next(NAMES) for name in ("dcp-client", "dcp-router", "dcp-server")}
    for name, unique in names.items():
        script = script.replace(name, unique)
    path = os.path.dirname(dcproxy) + os.pathsep + ENVIRONMENT["PATH"]
    shell = subprocess.Popen(
        ["bash", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**ENVIRONMENT, "PATH": path}, cwd=folder, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = shell.communicate(timeout=2 * PATIENCE)
        if shell.returncode or output.count("exit code 0") != script.count("exit code") or "verdict: pass" not in output:
            raise Wrong(f"ended with {shell.returncode}: {output}")
    finally:
        # The shell's own group: itself, and what it started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
        for name in names.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def in_folder(one, dcproxy):
    with tempfile.TemporaryDirectory() as folder:
        one(dcproxy, folder)


def no_rights(dcproxy):
    """Who may not set a socket option is told what and how to mend it, in one line, before anything else happens."""
    for flags, part in [
        (["--transparent", "tproxy"], "cannot set SO_MARK 0xdcb0 on a socket: Operation not permitted"),
        (["--transparent", "tproxy", "--mark", "0"], "cannot set IP_TRANSPARENT on a socket: Operation not permitted"),
        (["--transparent", "redirect"], "cannot set SO_MARK 0xdcb0 on a socket: Operation not permitted"),
    ]:
        caps = "-net_admin,-net_raw"
        command = ["setpriv", f"--bounding-set={caps}", f"--inh-caps={caps}", dcproxy, "proxy", "--listen", "127.0.0.1:0", *flags]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=ENVIRONMENT, check=False)
        lines = ran.stderr.splitlines()
        if ran.returncode != 2 or len(lines) != 1 or part not in lines[0] or f"setcap cap_net_admin+ep {dcproxy}" not in lines[0]:
            raise Wrong(f"{flags}: {ran.returncode}: {ran.stderr}")


def missing(statement):
    """Why this machine cannot do it, if it cannot: a namespace is tried, and a rule in it."""
    name = next(NAMES)
    try:
        run("ip", "netns", "add", name)
    except (OSError, Wrong) as error:
        return f"network namespaces: {error}"
    try:
        chain = "type filter hook prerouting priority -300;" if "tproxy" in statement else "type nat hook prerouting priority -100;"
        run("ip", "netns", "exec", name, "nft", "-f", "-", input=f"table inet t {{\n chain c {{\n {chain}\n {statement}\n }}\n}}\n")
        run("ip", "netns", "exec", name, "ss", "-Htn")
    except (OSError, Wrong) as error:
        return f"nftables or ss: {error}"
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return None


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dcproxy", required=True)
    parser.add_argument("names", nargs="*", help="only those whose names have one of these in them")
    options = parser.parse_args(argv)
    dcproxy = os.path.abspath(options.dcproxy)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    runs = {
        f"{mode}, IPv{version}{', TLS' if tls else ''}": (mode, lambda args=(mode, version == 6, dcproxy, tls): insertion(*args))
        for mode in ("redirect", "tproxy")
        for version in (4, 6)
        for tls in (False, True)
    }
    for mode in ("redirect", "tproxy"):
        runs[f"{mode}, IPv4 and IPv6 on one listener"] = (mode, lambda mode=mode: dual_stack(mode, False, dcproxy))
    for version in (4, 6):
        runs[f"redirect on the consumer's machine, IPv{version}"] = ("redirect", lambda version=version: local(dcproxy, version == 6))
    runs["docs/INSERTION.md (redirect, tproxy)"] = ("tproxy", lambda: in_folder(page, dcproxy))
    runs["without rights"] = ("rights", lambda: no_rights(dcproxy))
    runs = {name: run for name, run in runs.items() if not options.names or any(part in name for part in options.names)}
    lacking = {
        "redirect": missing("tcp dport 1 redirect to :2"),
        "tproxy": missing("meta l4proto tcp socket transparent 1 notrack\n tcp dport 1 tproxy ip6 to :2"),
        "rights": None if os.geteuid() == 0 else "root, who has rights to lose",
    }

    def timed(one):
        since = time.monotonic()
        try:
            one()
            wrong = None
        except (OSError, ValueError, Wrong, queue.Empty, subprocess.TimeoutExpired) as error:
            wrong = [f"{type(error).__name__}: {error.args[0]}", *error.args[1:]]
        return wrong, time.monotonic() - since

    failed = skipped = 0
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        started = {name: pool.submit(timed, one) for name, (needs, one) in runs.items() if not lacking[needs]}
        for name, (needs, _) in runs.items():
            if lacking[needs]:
                print(f"SKIPPED, loudly: {name}: this machine lacks {lacking[needs]}", flush=True)
                skipped += 1
                continue
            wrong, seconds = started[name].result()
            print(f"{'FAIL' if wrong else 'ok':5} {name} ({seconds:.1f} s)", *(wrong or []), sep="\n      ", flush=True)
            failed += bool(wrong)
    print(f"{len(runs) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not runs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
