# docs:begin
import os
import subprocess
import time
import unittest
import urllib.parse

from toxiproxy import Toxiproxy
from toxiproxy.api import APIConsumer

API = urllib.parse.urlsplit(os.environ["TOXIPROXY_URL"])


class ProducerTest(unittest.TestCase):
    def test_it_copes_with_a_stream_closed_mid_transfer(self):
        server = Toxiproxy()
        server.update_api_consumer(API.hostname, API.port)
        proxy = server.create(name="dcp", upstream=os.environ["PRODUCER"])
        self.addCleanup(proxy.destroy)

        # The application under test, told the proxy's port instead of the producer's.
        port = proxy.listen.rsplit(":", 1)[1]
        application = subprocess.Popen([*os.environ["APPLICATION"].split(), port], stdout=subprocess.DEVNULL)
        self.addCleanup(application.wait)
        self.addCleanup(application.kill)

        # What dcproxy has and toxiproxy has not is plain HTTP.
        def connections():
            return APIConsumer.get("/dcp/v1/proxies/dcp/connections").json()["connections"]

        self.until(lambda: any(one["edges"]["upstream"]["streams"]["live"] for one in connections()), "a stream is open")

        # Closed in the middle of what it is receiving; then the producer is told what a consumer says whose stream is gone.
        proxy.add_toxic(type="dcp_close_stream")
        self.until(lambda: 'dcproxy_faults_fired_total{proxy="dcp"' in APIConsumer.get("/metrics").text, "it is closed")
        report = APIConsumer.post("/dcp/v1/proxies/dcp/verdict").json()
        wrong = [
            f"{finding['id']} ({finding['verdict']}): expected {finding['expected']}, found {finding['actual']}"
            for judged in [report, *report["connections"]]
            for finding in judged["findings"]
            if finding["verdict"] != "pass"
        ]
        self.assertEqual(report["verdict"], "pass", "\n".join(wrong))

    def until(self, holds, what):
        deadline = time.monotonic() + 20
        while not holds():
            self.assertLess(time.monotonic(), deadline, f"waited too long until {what}")
            time.sleep(0.05)


if __name__ == "__main__":
    unittest.main()
# docs:end
