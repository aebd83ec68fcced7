"""What toxiproxy's client for Python can ask of dcproxy, with toxiproxy's own toxics: it is not told which of the two it talks to.

It has no call to change a proxy or a toxic, and populates by itself; `APIConsumer` sends whatever else is wanted.
"""

import os
import socket
import time
import unittest
import urllib.parse

from toxiproxy import Toxiproxy
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

API = urllib.parse.urlsplit(os.environ["TOXIPROXY_URL"])
ECHO = os.environ["ECHO"]  # answers with what it is sent
SHOUT = os.environ["SHOUT"]  # likewise, in capitals

TOXICS = {
    "latency": {"latency": 5, "jitter": 1},
    "bandwidth": {"rate": 1000},
    "slow_close": {"delay": 10},
    "timeout": {"timeout": 60_000},
    "reset_peer": {"timeout": 60_000},
    "slicer": {"average_size": 64, "size_variation": 32, "delay": 10},
    "limit_data": {"bytes": 100_000},
}


class Course(unittest.TestCase):
    def setUp(self):
        self.server = Toxiproxy()
        self.server.update_api_consumer(API.hostname, API.port)

    def create(self, name, upstream=ECHO):
        proxy = self.server.create(name=name, upstream=upstream)
        self.addCleanup(lambda: self.server.get_proxy(name) and proxy.destroy())
        return proxy

    def connect(self, listen):
        host, port = listen.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout=10)
        self.addCleanup(connection.close)
        return connection

    def ask(self, connection, word):
        """Sends a word; gives what comes back, and how long that took."""
        began = time.monotonic()
        connection.sendall(word)
        answer = b""
        while len(answer) < len(word):
            data = connection.recv(4096)
            self.assertTrue(data, "closed")
            answer += data
        return answer, time.monotonic() - began

    def assert_refused(self, listen):
        with self.assertRaises(ConnectionRefusedError):
            self.connect(listen)

    def assert_closed(self, connection):
        try:
            self.assertEqual(connection.recv(1), b"")
        except ConnectionResetError:
            pass

    def test_proxies_are_created_listed_changed_and_deleted(self):
        self.assertTrue(self.server.running())
        self.assertTrue(self.server.version())
        proxy = self.create("python")
        opened = self.connect(proxy.listen)
        self.assertEqual(self.ask(opened, b"hello")[0], b"hello")
        same = self.server.get_proxy("python")
        self.assertEqual((same.listen, same.upstream, same.enabled), (proxy.listen, ECHO, True))

        with proxy.down():
            self.assert_refused(proxy.listen)
            self.assert_closed(opened)
        self.assertEqual(self.ask(self.connect(proxy.listen), b"hello")[0], b"hello")

        APIConsumer.post("/proxies/python", json={"upstream": SHOUT})
        self.assertEqual(self.ask(self.connect(proxy.listen), b"hello")[0], b"HELLO")
        moved = APIConsumer.post("/proxies/python", json={"listen": "127.0.0.1:0"}).json()
        self.assertNotEqual(moved["listen"], proxy.listen)
        self.assert_refused(proxy.listen)
        self.assertEqual(self.ask(self.connect(moved["listen"]), b"hello")[0], b"HELLO")

        self.assertTrue(proxy.destroy())
        self.assert_refused(moved["listen"])
        self.assertIsNone(self.server.get_proxy("python"))

    def test_each_toxic_is_added_listed_updated_and_removed(self):
        proxy = self.create("python-toxics")
        for stream in "upstream", "downstream":
            for kind, attributes in TOXICS.items():
                proxy.add_toxic(type=kind, stream=stream, attributes=attributes)
        toxics = proxy.toxics()
        self.assertEqual(set(toxics), {f"{kind}_{stream}" for kind in TOXICS for stream in ("upstream", "downstream")})
        for toxic in toxics.values():
            self.assertEqual((toxic.attributes, toxic.toxicity), (TOXICS[toxic.type], 1))
        update = {"attributes": {"latency": 7}, "toxicity": 0.5}
        APIConsumer.post("/proxies/python-toxics/toxics/latency_upstream", json=update)
        changed = proxy.get_toxic("latency_upstream")
        self.assertEqual((changed.attributes, changed.toxicity), ({"latency": 7, "jitter": 1}, 0.5))
        self.assertTrue(proxy.destroy_toxic("latency_upstream"))
        self.assertEqual(len(proxy.toxics()), 13)

    def test_latency_is_measured_on_a_connection_that_is_open(self):
        proxy = self.create("python-latency")
        connection = self.connect(proxy.listen)
        self.ask(connection, b"before")
        proxy.add_toxic(name="slow", type="latency", attributes={"latency": 500})
        took = self.ask(connection, b"slow")[1]
        self.assertTrue(0.5 <= took < 2, f"expected 0.5 s, took {took}")
        proxy.destroy_toxic("slow")
        self.assertLess(self.ask(connection, b"after")[1], 0.5)

    def test_reset_enables_proxies_and_removes_toxics(self):
        proxy = self.create("python-reset")
        proxy.add_toxic(type="timeout", stream="upstream", attributes={"timeout": 0})
        proxy.disable()
        self.server.reset()
        self.assertTrue(self.server.get_proxy("python-reset").enabled)
        self.assertEqual(proxy.toxics(), {})
        self.assertEqual(self.ask(self.connect(proxy.listen), b"hello")[0], b"hello")

    def test_populate_makes_proxies_and_replaces_those_that_are_not_as_wanted(self):
        made = self.server.populate([
            {"name": "python-one", "upstream": ECHO, "listen": "127.0.0.1:0"},
            {"name": "python-two", "upstream": ECHO, "listen": "127.0.0.1:0"},
        ])  # fmt: skip
        self.assertEqual(len(made), 2)
        one, two = made
        self.addCleanup(one.destroy)
        kept = self.connect(one.listen)
        again = self.server.populate([
            {"name": "python-one", "upstream": ECHO, "listen": one.listen},
            {"name": "python-two", "upstream": SHOUT, "listen": two.listen},
        ])  # fmt: skip
        self.addCleanup(again[0].destroy)
        self.assertEqual([proxy.name for proxy in again], ["python-two"])
        self.assertEqual(self.ask(kept, b"hello")[0], b"hello")
        self.assertEqual(self.ask(self.connect(two.listen), b"hello")[0], b"HELLO")

    def test_errors_are_toxiproxys(self):
        proxy = self.create("python-errors")
        with self.assertRaisesRegex(ProxyExists, "proxy already exists"):
            APIConsumer.post("/proxies", json={"name": "python-errors", "upstream": ECHO})
        with self.assertRaises(ProxyExists):
            self.server.create(name="python-errors", upstream=ECHO)
        with self.assertRaisesRegex(NotFound, "proxy not found"):
            APIConsumer.get("/proxies/nobody")
        with self.assertRaisesRegex(InvalidToxic, "invalid toxic type"):
            proxy.add_toxic(type="no_such_type")
        with self.assertRaisesRegex(InvalidToxic, "stream was invalid"):
            proxy.add_toxic(type="latency", stream="sideways")
        proxy.add_toxic(name="twice", type="latency")
        with self.assertRaisesRegex(ProxyExists, "toxic already exists"):
            proxy.add_toxic(name="twice", type="latency")
        with self.assertRaisesRegex(NotFound, "toxic not found"):
            proxy.destroy_toxic("nobody")


if __name__ == "__main__":
    unittest.main()
