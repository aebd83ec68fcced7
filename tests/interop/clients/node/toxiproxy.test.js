// What toxiproxy's client for Node.js can ask of dcproxy, with toxiproxy's own toxics: it is not told which of the two it talks to.
"use strict";

const assert = require("node:assert/strict");
const net = require("node:net");
const { after, test } = require("node:test");
const { Toxiproxy } = require("toxiproxy-node-client");

const client = new Toxiproxy(process.env.TOXIPROXY_URL);
const { ECHO, SHOUT } = process.env; // answers with what it is sent; likewise, in capitals
const STREAMS = ["upstream", "downstream"];
const TOXICS = {
  latency: { latency: 5, jitter: 1 },
  bandwidth: { rate: 1000 },
  slow_close: { delay: 10 },
  timeout: { timeout: 60000 },
  reset_peer: { timeout: 60000 },
  slicer: { average_size: 64, size_variation: 32, delay: 10 },
  limit_data: { bytes: 100000 },
};

const sockets = [];
after(() => sockets.forEach((socket) => socket.destroy()));

const create = (name, upstream = ECHO) => client.createProxy({ name, listen: "127.0.0.1:0", upstream });

function connect(listen) {
  const [host, port] = listen.split(":");
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port }, () => resolve(socket));
    sockets.push(socket.once("error", reject));
  });
}

// Sends a word; gives what comes back, and how many milliseconds that took.
function ask(socket, word) {
  const began = process.hrtime.bigint();
  return new Promise((resolve, reject) => {
    let answer = "";
    const closed = () => reject(new Error("closed"));
    socket.once("close", closed);
    socket.on("data", function take(data) {
      answer += data;
      if (answer.length < word.length) return;
      socket.off("data", take).off("close", closed);
      resolve({ answer, took: Number(process.hrtime.bigint() - began) / 1e6 });
    });
    socket.write(word);
  });
}

const answered = async (listen, word) => (await ask(await connect(listen), word)).answer;
const refused = (listen) => assert.rejects(connect(listen), { code: "ECONNREFUSED" });
const failsWith = (status, call) => assert.rejects(call, { message: `Request failed with status code ${status}` });

test("proxies are created, listed, changed and deleted", async () => {
  assert.ok(await client.getVersion());
  const proxy = await create("node");
  const { listen } = proxy;
  const open = await connect(listen);
  assert.equal((await ask(open, "hello")).answer, "hello");
  const same = await client.get("node");
  assert.deepEqual([same.listen, same.upstream, same.enabled], [listen, ECHO, true]);
  assert.equal((await client.getAll()).node.listen, listen);

  const closed = new Promise((resolve) => open.once("close", resolve));
  assert.equal((await proxy.update({ enabled: false, listen, upstream: ECHO })).enabled, false);
  await closed;
  await refused(listen);
  assert.equal((await proxy.update({ enabled: true, listen, upstream: ECHO })).listen, listen);

  await proxy.update({ enabled: true, listen, upstream: SHOUT });
  assert.equal(await answered(listen, "hello"), "HELLO");
  const moved = await proxy.update({ enabled: true, listen: "127.0.0.1:0", upstream: SHOUT });
  assert.notEqual(moved.listen, listen);
  await refused(listen);
  assert.equal(await answered(moved.listen, "hello"), "HELLO");

  await proxy.remove();
  await refused(moved.listen);
  await failsWith(404, client.get("node"));
});

test("each toxic is added, listed, updated and removed", async () => {
  const proxy = await create("node-toxics");
  for (const [type, attributes] of Object.entries(TOXICS)) {
    for (const stream of STREAMS) {
      const { name, ...toxic } = (await proxy.addToxic({ type, stream, attributes })).toJson();
      assert.equal(name, `${type}_${stream}`);
      assert.deepEqual(toxic, { type, stream, toxicity: 1, attributes });
    }
  }
  const list = async () => (await client.getApi().get(`${proxy.getPath()}/toxics`)).data;
  assert.equal((await list()).length, 14);
  const latency = await proxy.getToxic("latency_upstream");
  const changed = await latency.update({ attributes: { latency: 7 }, toxicity: 0.5 });
  assert.deepEqual([changed.attributes, changed.toxicity], [{ latency: 7, jitter: 1 }, 0.5]);
  await latency.remove();
  assert.equal((await list()).length, 13);
  await proxy.remove();
});

test("latency is measured on a connection that is open", async () => {
  const proxy = await create("node-latency");
  const socket = await connect(proxy.listen);
  await ask(socket, "before");
  const slow = await proxy.addToxic({ name: "slow", type: "latency", attributes: { latency: 500 } });
  const { took } = await ask(socket, "slow");
  assert.ok(took >= 500 && took < 2000, `expected 500 ms, took ${took}`);
  await slow.remove();
  assert.ok((await ask(socket, "after")).took < 500);
  await proxy.remove();
});

test("reset enables proxies and removes toxics", async () => {
  const proxy = await create("node-reset");
  await proxy.addToxic({ name: "silence", type: "timeout", stream: "upstream", attributes: { timeout: 0 } });
  await proxy.update({ enabled: false, listen: proxy.listen, upstream: ECHO });
  await client.reset();
  assert.equal((await client.get("node-reset")).enabled, true);
  await failsWith(404, proxy.getToxic("silence"));
  assert.equal(await answered(proxy.listen, "hello"), "hello");
  await proxy.remove();
});

test("populate makes proxies and keeps those that are as wanted", async () => {
  const listen = "127.0.0.1:0";
  const made = await client.populate([
    { name: "node-one", listen, upstream: ECHO },
    { name: "node-two", listen, upstream: ECHO },
  ]);
  const [one, two] = [made["node-one"], made["node-two"]];
  const kept = await connect(one.listen);
  const again = await client.populate([
    { name: "node-one", listen: one.listen, upstream: ECHO },
    { name: "node-two", listen: two.listen, upstream: SHOUT },
  ]);
  assert.deepEqual(Object.keys(again), ["node-one", "node-two"]);
  assert.equal((await ask(kept, "hello")).answer, "hello");
  assert.equal(await answered(two.listen, "hello"), "HELLO");
  await one.remove();
  await two.remove();
});

test("errors are toxiproxy's", async () => {
  const proxy = await create("node-errors");
  await failsWith(409, create("node-errors"));
  await failsWith(400, create("node-nowhere", ""));
  await failsWith(404, client.get("nobody"));
  await failsWith(400, proxy.addToxic({ type: "no_such_type" }));
  await failsWith(400, proxy.addToxic({ type: "latency", stream: "sideways" }));
  const twice = await proxy.addToxic({ name: "twice", type: "latency" });
  await failsWith(409, proxy.addToxic({ name: "twice", type: "latency" }));
  await twice.remove();
  await failsWith(404, twice.remove());
  await proxy.remove();
});
