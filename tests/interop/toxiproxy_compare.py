#!/usr/bin/env python3
"""The same requests to `dcproxy serve` and to the real toxiproxy server; statuses and bodies are compared.

Bodies of success are compared whole, as JSON; of an error its status and, where it is in toxiproxy's own words, its text: what
Go's libraries say of a body or of an address is said otherwise here, so of these texts only the beginning is compared. Ports
that were taken at random are called P1, P2 and so on in the order of their coming, and versions V.

What is to differ is listed with its reason in DIFFERENCES; a difference that is not listed fails, and so does one that is listed
and is not there.
"""

import argparse
import json
import re
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection

HOST = "127.0.0.1"


class Server:
    """One of the two, and what is random in its answers."""

    def __init__(self, name, command, port):
        self.name = name
        self.port = port
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.ports = {}
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((HOST, port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{name} does not listen on port {port}")
                time.sleep(0.02)

    def ask(self, method, path, body=None, headers=None):
        connection = HTTPConnection(HOST, self.port, timeout=20)
        try:
            body = body if body is None or isinstance(body, bytes) else body.encode()
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
            kind = response.getheader("Content-Type", "")
            if text and response.status < 300 and not kind.startswith("application/json"):
                text = f"{kind}: {text}"
            return response.status, text
        finally:
            connection.close()

    def plain(self, text, known):
        """The text with ports that nobody named called in the order of their coming."""

        def name(found):
            port = found.group(2)
            if port in known:
                return found.group(0)
            return f"{found.group(1)}:{self.ports.setdefault(port, f'P{len(self.ports) + 1}')}"

        return re.sub(r"(127\.0\.0\.1|\[::\]|\[::1\]|localhost):(\d{2,5})\b", name, text)

    def stop(self):
        self.process.terminate()
        return self.process.wait(20)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind((HOST, 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def proxy(name, listen=None, upstream="127.0.0.1:9", **more):
    body = {"name": name, "upstream": upstream, **more}
    if listen is not None:
        body["listen"] = listen
    return json.dumps(body)


def toxic(kind, stream=None, toxicity=None, name=None, **attributes):
    body = {"type": kind, "attributes": attributes}
    for key, value in (("stream", stream), ("toxicity", toxicity), ("name", name)):
        if value is not None:
            body[key] = value
    return json.dumps(body)


def requests(taken, one, two):
    """(what, method, path, body, headers); `taken` is a port where something listens, the others are free."""
    at = f"127.0.0.1:{one}"
    at2 = f"127.0.0.1:{two}"
    A = "/proxies/a"
    T = "/proxies/a/toxics"
    zero = "127.0.0.1:0"
    yield from [
        ("version", "GET", "/version"),
        ("version by POST", "POST", "/version", ""),
        ("no proxies", "GET", "/proxies"),
        ("an unknown path", "GET", "/"),
        ("another", "GET", "/toxics"),
        ("a slash at the end", "GET", "/proxies/"),
        ("DELETE of all", "DELETE", "/proxies"),
        ("PUT of all", "PUT", "/proxies", "{}"),
        ("reset by GET", "GET", "/reset"),
        ("populate by GET", "GET", "/populate"),
        ("reset of nothing", "POST", "/reset", ""),
        ("a browser", "GET", "/proxies", None, {"User-Agent": "Mozilla/5.0 (X11)"}),
        ("almost a browser", "GET", "/proxies", None, {"User-Agent": "mozilla/5.0"}),
        # Bodies that are none.
        ("create of nothing", "POST", "/proxies", ""),
        ("create of blanks", "POST", "/proxies", " \n"),
        ("create of half an object", "POST", "/proxies", '{"name": "a"'),
        ("create of other text", "POST", "/proxies", "name=a"),
        ("create of a list", "POST", "/proxies", "[]"),
        ("create of text", "POST", "/proxies", '"a"'),
        ("create of a number", "POST", "/proxies", "5"),
        ("create of null", "POST", "/proxies", "null"),
        ("create of {}", "POST", "/proxies", "{}"),
        ("no upstream", "POST", "/proxies", '{"name": "a"}'),
        ("no name", "POST", "/proxies", '{"upstream": "127.0.0.1:9"}'),
        ("an empty name", "POST", "/proxies", proxy("")),
        ("an empty upstream", "POST", "/proxies", proxy("a", upstream="")),
        ("a number as name", "POST", "/proxies", '{"name": 5, "upstream": "127.0.0.1:9"}'),
        ("text as enabled", "POST", "/proxies", proxy("a", zero, enabled="yes")),
        ("a number as listen", "POST", "/proxies", '{"name": "a", "upstream": "127.0.0.1:9", "listen": 5}'),
        ("still no proxies", "GET", "/proxies"),
        ("a listen without a port", "POST", "/proxies", proxy("a", "127.0.0.1")),
        ("a listen that is too high", "POST", "/proxies", proxy("a", "127.0.0.1:70000")),
        ("a port that is taken", "POST", "/proxies", proxy("a", f"127.0.0.1:{taken}")),
        ("an address that is not here", "POST", "/proxies", proxy("a", "192.0.2.1:5000")),
        ("still none of them", "GET", "/proxies"),
        # Creating.
        ("create", "POST", "/proxies", proxy("a", at)),
        ("create again", "POST", "/proxies", proxy("a", at)),
        ("create again elsewhere", "POST", "/proxies", proxy("a", zero)),
        ("create again, badly", "POST", "/proxies", proxy("a", "nowhere")),
        ("show", "GET", A),
        ("show by HEAD", "HEAD", A),
        ("show with a question", "GET", A + "?x=y"),
        ("show another", "GET", "/proxies/b"),
        ("show what is named as it is not", "GET", "/proxies/A"),
        ("show by its escaped name", "GET", "/proxies/%61"),
        ("a slash at its end", "GET", A + "/"),
        ("two slashes", "GET", "/proxies//a"),
        ("list", "GET", "/proxies"),
        ("any port", "POST", "/proxies", proxy("b", zero)),
        ("list of two", "GET", "/proxies"),
        ("localhost", "POST", "/proxies", proxy("c", "localhost:0")),
        ("disabled", "POST", "/proxies", proxy("d", "127.0.0.1:0", enabled=False)),
        ("disabled where something listens", "POST", "/proxies", proxy("e", f"127.0.0.1:{taken}", enabled=False)),
        ("disabled by null", "POST", "/proxies", proxy("f", zero, enabled=None)),
        ("members in other cases", "POST", "/proxies", f'{{"NAME": "g", "Listen": "{zero}", "upStream": "127.0.0.1:9"}}'),
        ("a member twice", "POST", "/proxies", f'{{"name": "x", "name": "h", "listen": "{zero}", "upstream": "127.0.0.1:9"}}'),
        ("members that there are none of", "POST", "/proxies", proxy("i", zero, toxics=[1], more={"a": 1})),
        ("text behind the body", "POST", "/proxies", proxy("j", zero) + " and more"),
        ("two bodies", "POST", "/proxies", proxy("k", zero) + proxy("k2", zero)),
        ("a body of another kind", "POST", "/proxies", proxy("l", zero), {"Content-Type": "text/plain"}),
        ("a body that says it is a form", "POST", "/proxies", proxy("m", zero), {"Content-Type": "application/x-www-form-urlencoded"}),
        ("a name with blanks", "POST", "/proxies", proxy("n n", zero)),
        ("show that", "GET", "/proxies/n%20n"),
        ("a name beyond ASCII", "POST", "/proxies", proxy("orders-\u00e9\u2192", zero)),
        ("show that one", "GET", "/proxies/orders-%C3%A9%E2%86%92"),
        ("bytes that are no UTF-8", "POST", "/proxies", b'{"name": "o\xff", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:9"}'),
        ("a name with HTML", "POST", "/proxies", proxy("<&>", zero)),
        ("no host to dial", "POST", "/proxies", proxy("q", zero, upstream=":9")),
        ("no address to dial", "POST", "/proxies", proxy("r", "127.0.0.1:0", upstream="nowhere", enabled=False)),
        ("that is gone", "DELETE", "/proxies/r"),
        ("a name to dial", "POST", "/proxies", proxy("s", zero, upstream="localhost:9")),
        ("no host to listen", "POST", "/proxies", proxy("t", ":0")),
        ("no place to listen", "POST", "/proxies", proxy("u")),
        ("that one is gone", "DELETE", "/proxies/t"),
        ("and that", "DELETE", "/proxies/u"),
        ("list of all", "GET", "/proxies"),
    ]
    for name in ["b", "c", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n%20n", "orders-%C3%A9%E2%86%92", "o%EF%BF%BD", "%3C%26%3E", "q", "s"]:
        yield (f"delete {name}", "DELETE", f"/proxies/{name}")
    yield from [
        ("delete again", "DELETE", "/proxies/b"),
        ("delete with a body", "DELETE", "/proxies/zz", "{}"),
        # Changing.
        ("update of nothing", "POST", A, ""),
        ("update of another", "POST", "/proxies/zz", "nothing"),
        ("update of half", "POST", A, "{"),
        ("update of a list", "PATCH", A, "[]"),
        ("update of null", "PATCH", A, "null"),
        ("update of {}", "PATCH", A, "{}"),
        ("update of {} by POST", "POST", A, "{}"),
        ("update by PUT", "PUT", A, "{}"),
        ("update of its name", "PATCH", A, '{"name": "z"}'),
        ("update of its name, to a number", "PATCH", A, '{"name": 5}'),
        ("disable", "PATCH", A, '{"enabled": false}'),
        ("disable again", "POST", A, '{"enabled": false}'),
        ("show what is disabled", "GET", A),
        ("enable", "POST", A, '{"enabled": true}'),
        ("enable again", "PATCH", A, '{"enabled": true}'),
        ("enabled is text", "PATCH", A, '{"enabled": "true"}'),
        ("another upstream", "PATCH", A, '{"upstream": "127.0.0.1:10"}'),
        ("the same upstream", "PATCH", A, '{"upstream": "127.0.0.1:10"}'),
        ("no upstream any more", "PATCH", A, '{"upstream": ""}'),
        ("its upstream again", "PATCH", A, '{"upstream": "127.0.0.1:9"}'),
        ("another listen", "PATCH", A, json.dumps({"listen": at2})),
        ("the same listen", "PATCH", A, json.dumps({"listen": at2})),
        ("the same listen by name", "PATCH", A, json.dumps({"listen": f"localhost:{two}"})),
        ("any listen", "PATCH", A, '{"listen": "127.0.0.1:0"}'),
        ("a listen that is taken", "PATCH", A, json.dumps({"listen": f"127.0.0.1:{taken}"})),
        ("show what could not", "GET", A),
        ("enable what cannot", "PATCH", A, '{"enabled": true}'),
        ("a listen that is none", "PATCH", A, '{"listen": "nowhere"}'),
        ("everything as a client sends it", "POST", A, proxy("a", at, enabled=True, toxics=[])),
        ("everything, disabled", "POST", A, proxy("a", at, enabled=False)),
        ("elsewhere while disabled", "PATCH", A, json.dumps({"listen": at2})),
        ("enable there", "PATCH", A, '{"enabled": true}'),
        ("move and disable", "PATCH", A, json.dumps({"listen": at, "enabled": False})),
        ("move and enable", "PATCH", A, json.dumps({"listen": at, "upstream": "127.0.0.1:11", "enabled": True})),
        ("show it", "GET", A),
        ("enable what never was", "PATCH", "/proxies/d", '{"enabled": true}'),
        ("it keeps its port", "PATCH", "/proxies/d", '{"enabled": false}'),
        ("it has it again", "PATCH", "/proxies/d", '{"enabled": true}'),
        ("delete it", "DELETE", "/proxies/d"),
        # Toxics.
        ("no toxics", "GET", T),
        ("no toxics of none", "GET", "/proxies/zz/toxics"),
        ("a slash at the end of toxics", "GET", T + "/"),
        ("no such toxic", "GET", T + "/x"),
        ("no such toxic of none", "GET", "/proxies/zz/toxics/x"),
        ("toxic of nothing", "POST", T, ""),
        ("toxic of none", "POST", "/proxies/zz/toxics", ""),
        ("toxic of half", "POST", T, '{"type":'),
        ("toxic of a list", "POST", T, "[]"),
        ("toxic of null", "POST", T, "null"),
        ("toxic of {}", "POST", T, "{}"),
        ("toxic of no type there is", "POST", T, toxic("slow")),
        ("toxic of a type in other case", "POST", T, toxic("Latency")),
        ("toxic of no stream there is", "POST", T, toxic("latency", "sideways")),
        ("bad stream before bad type", "POST", T, toxic("slow", "sideways")),
        ("a number as type", "POST", T, '{"type": 5}'),
        ("text as toxicity", "POST", T, '{"type": "latency", "toxicity": "1"}'),
        ("text as attributes", "POST", T, '{"type": "latency", "attributes": "x"}'),
        ("a list as attributes", "POST", T, '{"type": "latency", "attributes": []}'),
        ("text as latency", "POST", T, toxic("latency", latency="5")),
        ("half a millisecond", "POST", T, toxic("latency", latency=0.5)),
        ("a number with a point", "POST", T, '{"type": "latency", "attributes": {"latency": 5.0}}'),
        ("a number that is too long", "POST", T, '{"type": "latency", "attributes": {"latency": 99999999999999999999}}'),
        ("none of them", "GET", T),
        ("latency", "POST", T, toxic("latency", latency=10, jitter=2)),
        ("latency again", "POST", T, toxic("latency", latency=20)),
        ("latency again, badly", "POST", T, toxic("latency", latency="x")),
        ("latency upstream", "POST", T, toxic("latency", "upstream", 0.5, latency=1)),
        ("another name", "POST", T, toxic("latency", "downstream", 0.25, "mine", latency=1)),
        ("a name that is taken, upstream", "POST", T, toxic("bandwidth", "upstream", name="mine", rate=1)),
        ("bandwidth", "POST", T, toxic("bandwidth", rate=100)),
        ("slow_close", "POST", T, toxic("slow_close", delay=5)),
        ("timeout", "POST", T, toxic("timeout", timeout=5)),
        ("timeout upstream", "POST", T, toxic("timeout", "upstream", timeout=0)),
        ("reset_peer", "POST", T, toxic("reset_peer", timeout=7)),
        ("slicer", "POST", T, toxic("slicer", average_size=64, size_variation=32, delay=10)),
        ("limit_data", "POST", T, toxic("limit_data", bytes=1000)),
        ("noop", "POST", T, toxic("noop")),
        ("list of toxics", "GET", T),
        ("one toxic", "GET", T + "/mine"),
        ("one by HEAD", "HEAD", T + "/mine"),
        ("one that there is none of", "GET", T + "/yours"),
        ("the proxy with them", "GET", A),
        ("no attributes", "POST", T, '{"type": "latency", "name": "bare"}'),
        ("null attributes", "POST", T, '{"type": "latency", "name": "null", "attributes": null}'),
        ("attributes that there are none of", "POST", T, toxic("latency", name="more", colour="red")),
        ("members of a toxic in other cases", "POST", T, '{"TYPE": "latency", "Name": "cased", "Attributes": {"LATENCY": 3}}'),
        ("text behind a toxic", "POST", T, toxic("latency", name="text", latency=1) + "!"),
        ("a stream in other case", "POST", T, toxic("latency", "UPSTREAM", name="loud", latency=1)),
        ("a stream that is null", "POST", T, '{"type": "latency", "name": "nullstream", "stream": null}'),
        ("an empty stream", "POST", T, '{"type": "latency", "name": "nostream", "stream": ""}'),
        ("an empty name of a toxic", "POST", T, toxic("bandwidth", "upstream", name="", rate=3)),
        ("toxicity of 0", "POST", T, toxic("latency", toxicity=0, name="never", latency=1)),
        ("toxicity of a third", "POST", T, toxic("latency", toxicity=0.3333333333333333, name="third", latency=1)),
        ("toxicity above 1", "POST", T, toxic("latency", toxicity=1.5, name="above", latency=1)),
        ("toxicity below 0", "POST", T, toxic("latency", toxicity=-1, name="below", latency=1)),
        ("toxicity beyond all", "POST", T, '{"type": "latency", "name": "beyond", "toxicity": 1e300}'),
        ("a toxic with blanks", "POST", T, toxic("noop", name="x y")),
        ("that toxic", "GET", T + "/x%20y"),
        # Changing toxics.
        ("update a toxic", "PATCH", T + "/mine", '{"attributes": {"latency": 9}}'),
        ("update a toxic by POST", "POST", T + "/mine", '{"attributes": {"jitter": 4}}'),
        ("update its toxicity", "POST", T + "/mine", '{"toxicity": 0.75}'),
        ("its toxicity is 0 then", "POST", T + "/mine", '{"toxicity": 0}'),
        ("update of nothing in it", "POST", T + "/mine", "{}"),
        ("update of null in it", "POST", T + "/mine", '{"attributes": null, "toxicity": null}'),
        ("update of its type", "POST", T + "/mine", '{"type": "bandwidth", "stream": "upstream", "name": "yours"}'),
        ("update without a body", "POST", T + "/mine", ""),
        ("update of a list in it", "POST", T + "/mine", "[]"),
        ("update with text", "POST", T + "/mine", '{"toxicity": "x"}'),
        ("update with bad attributes", "POST", T + "/mine", '{"attributes": {"latency": true}}'),
        ("update of none there is", "POST", T + "/yours", "nothing"),
        ("update of none of none", "POST", "/proxies/zz/toxics/x", "{}"),
        ("update by PUT of it", "PUT", T + "/mine", "{}"),
        ("show it as it is now", "GET", T + "/mine"),
        ("update a slicer", "POST", T + "/slicer_downstream", '{"attributes": {"delay": 11}}'),
        ("update a timeout", "POST", T + "/timeout_downstream", '{"attributes": {"timeout": 0}}'),
        ("delete a toxic", "DELETE", T + "/mine"),
        ("delete it again", "DELETE", T + "/mine"),
        ("delete one of none", "DELETE", "/proxies/zz/toxics/mine"),
        ("loud", "DELETE", T + "/loud"),
        ("toxics stay when disabled", "PATCH", A, '{"enabled": false}'),
        ("a toxic while disabled", "POST", T, toxic("noop", name="quiet")),
        # What is a difference.
        ("a latency below 0", "POST", T, toxic("latency", name="early", latency=-5)),
        ("a slicer of nothing", "POST", T, toxic("slicer", name="nothing")),
        ("a slicer that varies too much", "POST", T, toxic("slicer", name="wild", average_size=4, size_variation=5)),
        ("a toxic with a slash", "POST", T, toxic("noop", name="x/y")),
        # Populate and reset.
        ("reset", "POST", "/reset", ""),
        ("after the reset", "GET", "/proxies"),
        ("reset with a body", "POST", "/reset", "whatever"),
        ("populate of nothing", "POST", "/populate", ""),
        ("populate of {}", "POST", "/populate", "{}"),
        ("populate of null", "POST", "/populate", "null"),
        ("populate of []", "POST", "/populate", "[]"),
        ("populate of numbers", "POST", "/populate", "[1]"),
        ("populate of null in a list", "POST", "/populate", "[null]"),
        ("populate without a name", "POST", "/populate", f'[{proxy("v", zero)}, {{"upstream": "127.0.0.1:9"}}]'),
        ("populate without an upstream", "POST", "/populate", '[{"name": "v"}]'),
        ("populate by text", "POST", "/populate", '[{"name": "v", "upstream": "127.0.0.1:9", "enabled": "no"}]'),
        ("none of those", "GET", "/proxies/v"),
        ("populate", "POST", "/populate", f'[{proxy("v", zero)}, {proxy("w", at2, enabled=False)}]'),
        ("a toxic of one of them", "POST", "/proxies/w/toxics", toxic("noop")),
        ("populate again as it is", "POST", "/populate", f'[{proxy("w", at2, enabled=True)}]'),
        ("it is still disabled", "GET", "/proxies/w"),
        ("populate it with another upstream", "POST", "/populate", f'[{proxy("w", at2, upstream="127.0.0.1:10")}]'),
        ("it has lost its toxics", "GET", "/proxies/w"),
        ("populate it disabled", "POST", "/populate", f'[{proxy("w", at2, upstream="127.0.0.1:9", enabled=False)}]'),
        ("populate one that cannot", "POST", "/populate", f'[{proxy("x", zero)}, {proxy("y", f"127.0.0.1:{taken}")}, {proxy("z", zero)}]'),
        ("the first of them", "GET", "/proxies/x"),
        ("the second of them", "GET", "/proxies/y"),
        ("the third of them", "GET", "/proxies/z"),
        ("populate one twice", "POST", "/populate", f'[{proxy("x", at2, enabled=False)}, {proxy("x", at2, upstream="127.0.0.1:10", enabled=False)}]'),
        ("populate members in other cases", "POST", "/populate", f'[{{"Name": "x", "LISTEN": "{zero}", "Upstream": "127.0.0.1:9", "ENABLED": true}}]'),
        ("text behind the list", "POST", "/populate", f'[{proxy("x", zero)}]]'),
        ("all at the end", "GET", "/proxies"),
        ("disable one", "PATCH", "/proxies/v", '{"enabled": false}'),
        ("reset enables", "POST", "/reset", ""),
        ("all after the reset", "GET", "/proxies"),
        ("a name with a slash", "POST", "/proxies", proxy("p/p", "127.0.0.1:0", enabled=False)),
        ("show the name with a slash", "GET", "/proxies/p%2Fp"),
    ]


# No route takes these: text, or nothing, is said of it there, and why in JSON here.
NO_ROUTE = {(404, "404 page not found"), (405, "")}
# By what is asked: why the answers differ, and the status of dcproxy's.
ADDRESS = "what can be seen to be no address is told as what is wrong with the body, and not as a fault of the server"
LOOPBACK = "where no host is named, dcproxy listens on loopback, toxiproxy on every address"
SLASH = "a name that no path can hold could never be deleted"
DIFFERENCES = {
    "a browser": ("the answer is JSON, as every other", 403),
    "two slashes": ("no redirection: no path of a client has two", 404),
    "show by HEAD": ("HEAD is answered wherever GET is", 200),
    "one by HEAD": ("HEAD is answered wherever GET is", 200),
    "a listen without a port": (ADDRESS, 400),
    "a listen that is too high": (ADDRESS, 400),
    "a listen that is none": (ADDRESS, 400),
    "no address to dial": (ADDRESS + "; toxiproxy finds out when it dials", 400),
    "that is gone": ("it was never there", 404),
    "no upstream any more": (ADDRESS + "; toxiproxy finds out when it dials", 400),
    "no host to listen": (LOOPBACK, 201),
    "no place to listen": (LOOPBACK, 201),
    "a stream in other case": ("it is answered as it is documented, in lower case", 200),
    "a latency below 0": ("there is no such time", 400),
    "a slicer of nothing": ("toxiproxy ends for want of stack with the first byte", 400),
    "a slicer that varies too much": ("toxiproxy ends for slices out of range", 400),
    "a toxic with a slash": (SLASH, 400),
    "a name with a slash": (SLASH, 400),
    "show the name with a slash": (SLASH + ": here the path has that name, and there is none", 404),
    "populate one twice": ("one proxy, as it stands at the end; toxiproxy answers what it was at first too", 201),
}

# How errors begin whose rest is a library's.
PREFIXES = ("bad request body", "listen tcp")


def without_logger(members):
    """toxiproxy shows an empty member of its own log in each proxy; no client reads it."""
    if members.get("Logger") == {}:
        del members["Logger"]
    return members


def told(status, text, server, known):
    """What of an answer is compared."""
    if '"error"' not in text or '"proxies"' in text:
        text = server.plain(text, known)
    if (status, text.strip()) in NO_ROUTE:
        return status, "no route"
    try:
        body = json.loads(text, object_hook=without_logger)
    except ValueError:
        return status, text.strip()
    if status in (404, 405) and str(body["error"]).startswith("expected "):
        return status, "no route"
    if isinstance(body, dict) and "version" in body:
        body = {"version": "V"}
    if isinstance(body, dict) and isinstance(body.get("error"), str):
        for prefix in PREFIXES:
            if body["error"].startswith(prefix) and "address already in use" not in body["error"]:
                body["error"] = prefix + " ..."
    return status, body


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dcproxy", required=True)
    parser.add_argument("--toxiproxy", required=True)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()

    taken = socket.create_server((HOST, 0))
    ports = free_ports(6)
    ours = Server("dcproxy", [arguments.dcproxy, "serve", "--api", f"{HOST}:{ports[0]}"], ports[0])
    theirs = Server("toxiproxy", [arguments.toxiproxy, "-host", HOST, "-port", str(ports[1])], ports[1])
    taken_port = taken.getsockname()[1]
    # Each of the two has ports of its own, called alike.
    asked = 0
    failed = []
    met = set()
    pairs = zip(requests(taken_port, ports[2], ports[3]), requests(taken_port, ports[4], ports[5]))
    try:
        for our_request, their_request in pairs:
            what = our_request[0]
            asked += 1
            answers = []
            for server, request, (one, two) in ((ours, our_request, ports[2:4]), (theirs, their_request, ports[4:6])):
                status, text = server.ask(*request[1:])
                text = text.replace(f":{one}", ":ONE").replace(f":{two}", ":TWO").replace(f":{taken_port}", ":TAKEN")
                answers.append(told(status, text, server, {"9", "10", "11"}))
            if arguments.verbose:
                print(what, *answers, sep="\n    ")
            if what in DIFFERENCES:
                met.add(what)
                reason, expected = DIFFERENCES[what]
                if answers[0] == answers[1]:
                    failed.append(f"{what}: expected a difference ({reason}), found none")
                elif answers[0][0] != expected:
                    failed.append(f"{what}: expected {expected} of dcproxy ({reason}), found {answers[0]}")
            elif answers[0] != answers[1]:
                request = f"{our_request[1]} {our_request[2]} {our_request[3:4]}"
                failed.append(f"{what}: {request}\n    expected {str(answers[1])[:600]}\n    found    {str(answers[0])[:600]}")
    finally:
        code = ours.stop()
        theirs.stop()
    failed += [f"{what}: listed as a difference, and never asked" for what in DIFFERENCES.keys() - met]
    if code != 0:
        failed.append(f"dcproxy: expected exit code 0 after SIGTERM, found {code}")
    for failure in failed:
        print(failure)
    print(f"toxiproxy's API: {asked} requests, {len(DIFFERENCES)} of them answered otherwise on purpose, {len(failed)} failures")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
