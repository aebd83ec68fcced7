// docs:begin
"use strict";

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const { test } = require("node:test");
const { setTimeout: sleep } = require("node:timers/promises");
const { Toxiproxy } = require("toxiproxy-node-client");

async function until(what, holds) {
  for (const began = Date.now(); !(await holds()); await sleep(50)) {
    assert.ok(Date.now() - began < 20000, `waited too long until ${what}`);
  }
}

test("the producer copes with a stream closed mid-transfer", async (t) => {
  const client = new Toxiproxy(process.env.TOXIPROXY_URL);
  const proxy = await client.createProxy({ name: "dcp", listen: "127.0.0.1:0", upstream: process.env.PRODUCER });
  t.after(() => proxy.remove());

  // The application under test, told the proxy's port instead of the producer's.
  const [program, ...words] = process.env.APPLICATION.split(" ");
  const application = spawn(program, [...words, proxy.listen.split(":")[1]], { stdio: "ignore" });
  t.after(() => application.kill("SIGKILL"));

  // What dcproxy has and toxiproxy has not is plain HTTP.
  const dcp = `${client.host}/dcp/v1/proxies/dcp`;
  const connections = async () => (await client.getApi().get(`${dcp}/connections`)).data.connections;
  await until("a stream is open", async () => (await connections()).some((one) => one.edges.upstream.streams.live > 0));

  // Closed in the middle of what it is receiving; then the producer is told what a consumer says whose stream is gone.
  await proxy.addToxic({ name: "close", type: "dcp_close_stream", attributes: {} });
  const metrics = () => client.getApi().getText(`${client.host}/metrics`);
  await until("it is closed", async () => (await metrics()).includes('dcproxy_faults_fired_total{proxy="dcp"'));
  const { data: report } = await client.getApi().post(`${dcp}/verdict`);
  const wrong = [report, ...report.connections]
    .flatMap((judged) => judged.findings)
    .filter((finding) => finding.verdict !== "pass")
    .map(({ id, verdict, expected, actual }) => `${id} (${verdict}): expected ${expected}, found ${actual}`);
  assert.equal(report.verdict, "pass", wrong.join("\n"));
});
// docs:end
