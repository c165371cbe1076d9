/** What programs written with dockerode rely on. BRIG_SOCKET is the daemon's; its image is `alpine`. */
import assert from "node:assert/strict";
import { Socket } from "node:net";
import { PassThrough } from "node:stream";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import Docker from "dockerode";

const docker = new Docker({ socketPath: process.env.BRIG_SOCKET });
const made = [];
after(async () => {
  for (const container of made) await container.remove({ force: true, v: true }).catch(() => undefined);
});

async function create(options) {
  const container = await docker.createContainer({ Image: "alpine", Cmd: ["cat"], ...options });
  made.push(container);
  return container;
}

async function start(options) {
  const container = await create(options);
  await container.start();
  return container;
}

/** All of a stream, as text. */
async function textOf(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Both streams of a multiplexed one. */
async function apart(stream) {
  const [out, err] = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(stream, out, err);
  const end = () => {
    out.end();
    err.end();
  };
  stream.on("end", end);
  stream.on("close", end);
  const [stdout, stderr] = await Promise.all([textOf(out), textOf(err)]);
  return { stdout, stderr };
}

/** Everything up to where `text` is complete; the stream can be read on. */
function waitFor(stream, text) {
  return new Promise((resolve, reject) => {
    let seen = "";
    const read = (chunk) => {
      seen += chunk;
      if (!seen.includes(text)) return;
      stream.off("data", read);
      resolve(seen);
    };
    stream.on("data", read);
    stream.once("end", () => reject(new Error(`it ended before it said ${text}: ${seen}`)));
  });
}

const everything = { stream: true, stdin: true, stdout: true, stderr: true };

describe("attach", () => {
  test("output of both streams, and the exit code", async () => {
    const container = await create({ Cmd: ["sh", "-c", "echo out; echo err >&2; exit 3"] });
    const stream = await container.attach({ stream: true, stdout: true, stderr: true });
    const output = apart(stream);
    await container.start();
    assert.deepEqual(await container.wait(), { StatusCode: 3 });
    assert.deepEqual(await output, { stdout: "out\n", stderr: "err\n" });
  });

  for (const hijack of [true, false]) {
    test(`stdin, ${hijack ? "" : "not "}hijacked`, async () => {
      // Not hijacked, dockerode cannot end its input without ending the connection.
      const Cmd = hijack ? ["wc", "-c"] : ["sh", "-c", "head -c 300000 | wc -c"];
      const container = await create({ Cmd, OpenStdin: true, StdinOnce: true, AttachStdin: true });
      const stream = await container.attach({ ...everything, hijack });
      assert.equal(stream instanceof Socket, hijack);
      const output = apart(stream);
      await container.start();
      stream.write("x".repeat(300_000));
      if (hijack) stream.end();
      assert.equal((await container.wait()).StatusCode, 0);
      assert.equal((await output).stdout.trim(), "300000");
    });

    test(`a terminal, ${hijack ? "" : "not "}hijacked`, async () => {
      const container = await create({ Cmd: ["wc", "-c"], Tty: true, OpenStdin: true, AttachStdin: true });
      const stream = await container.attach({ ...everything, hijack });
      await container.start();
      stream.write("hello\n\x04");
      assert.match(await waitFor(stream, "6\r\n"), /^hello\r\n6\r\n$/);
      assert.equal((await container.wait()).StatusCode, 0);
    });

    test(`a shell that is typed to, ${hijack ? "" : "not "}hijacked`, async () => {
      const container = await create({ Cmd: ["sh"], OpenStdin: true });
      const stream = await container.attach({ ...everything, hijack });
      const output = apart(stream);
      await container.start();
      stream.write("echo one; echo two >&2; exit\n");
      await container.wait();
      assert.deepEqual(await output, { stdout: "one\n", stderr: "two\n" });
    });
  }

  test("several clients, and one that comes late", async () => {
    const container = await create({ OpenStdin: true, Tty: true });
    const first = await container.attach({ ...everything, hijack: true });
    await container.start();
    const second = await container.attach({ ...everything, hijack: true });
    first.write("to all\n");
    await Promise.all([waitFor(first, "to all\r\nto all"), waitFor(second, "to all\r\nto all")]);
    second.destroy();
    first.write("still\n");
    await waitFor(first, "still\r\nstill");
  });

  test("detach keys", async () => {
    const container = await create({ OpenStdin: true, Tty: true });
    const stream = await container.attach({ ...everything, hijack: true, detachKeys: "ctrl-a,b" });
    await container.start();
    stream.write("\x01");
    stream.write("b");
    await textOf(stream);
    assert.equal((await container.inspect()).State.Running, true);
  });
});

describe("exec", () => {
  test("output", async () => {
    const container = await start({ OpenStdin: true });
    const exec = await container.exec({
      Cmd: ["sh", "-c", "echo out; echo err >&2; exit 4"],
      AttachStdout: true,
      AttachStderr: true,
    });
    assert.deepEqual(await apart(await exec.start({})), { stdout: "out\n", stderr: "err\n" });
    const facts = await exec.inspect();
    assert.deepEqual([facts.Running, facts.ExitCode, facts.ContainerID], [false, 4, container.id]);
  });

  test("stdin, hijacked", async () => {
    const container = await start({ OpenStdin: true });
    const exec = await container.exec({ Cmd: ["cat"], AttachStdin: true, AttachStdout: true });
    const stream = await exec.start({ hijack: true, stdin: true });
    assert.ok(stream instanceof Socket);
    const output = apart(stream);
    const sent = "a line\n".repeat(50_000);
    stream.end(sent);
    assert.equal((await output).stdout, sent);
    assert.equal((await exec.inspect()).ExitCode, 0);
  });

  test("a terminal of a size that changes", async () => {
    const container = await start({ OpenStdin: true });
    const exec = await container.exec({ Cmd: ["sh"], AttachStdin: true, AttachStdout: true, Tty: true });
    const stream = await exec.start({ hijack: true, stdin: true, Tty: true });
    await exec.resize({ h: 31, w: 97 });
    stream.write("stty size; exit\n");
    assert.match(await textOf(stream), /31 97/);
  });

  test("environment, directory, user", async () => {
    const container = await start({ OpenStdin: true });
    const exec = await container.exec({
      Cmd: ["sh", "-c", "echo $A; pwd; id -un"],
      AttachStdout: true,
      Env: ["A=b"],
      WorkingDir: "/tmp",
      User: "nobody",
    });
    assert.equal((await apart(await exec.start({}))).stdout, "b\n/tmp\nnobody\n");
  });
});

describe("logs", () => {
  test("at once", async () => {
    const container = await start({ Cmd: ["sh", "-c", "echo out; echo err >&2"] });
    await container.wait();
    const log = await container.logs({ stdout: true, stderr: false });
    assert.equal(log.subarray(8).toString(), "out\n");
    assert.equal((await container.logs({ stdout: true, stderr: true, tail: 0 })).length, 0);
  });

  test("followed", async () => {
    const container = await start({ Cmd: ["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done; echo end >&2"] });
    const stream = await container.logs({ follow: true, stdout: true, stderr: true, timestamps: false });
    assert.deepEqual(await apart(stream), { stdout: "1\n2\n3\n", stderr: "end\n" });
  });

  test("given up", async () => {
    const container = await start({ Cmd: ["sh", "-c", "echo begun; sleep 100"] });
    const abort = new AbortController();
    const stream = await container.logs({ follow: true, stdout: true, abortSignal: abort.signal });
    await waitFor(stream, "begun");
    abort.abort();
    await assert.rejects(textOf(stream));
  });
});

describe("commit", () => {
  test("changes, commit, export", async () => {
    const container = await start({ Cmd: ["sh", "-c", "echo hello >/node; rm /bin/ls"] });
    await container.wait();
    assert.deepEqual(await container.changes(), [
      { Path: "/bin", Kind: 0 },
      { Path: "/bin/ls", Kind: 2 },
      { Path: "/node", Kind: 1 },
    ]);
    const { Id } = await container.commit({
      repo: "node-image",
      tag: "1",
      changes: ["ENV A=b"],
      Cmd: ["cat", "/node"],
    });
    const image = docker.getImage("node-image:1");
    assert.equal((await image.inspect()).Id, Id);
    const output = new PassThrough();
    const text = textOf(output);
    const [result, run] = await docker.run("node-image:1", undefined, output, { Tty: false });
    made.push(run);
    assert.equal(result.StatusCode, 0);
    assert.match(await text, /hello/);
    assert.match((await textOf(await container.export())).slice(0, 4096), /bin\//);
    await image.remove({ force: true });
  });
});

describe("life", () => {
  test("by the docker.run of one call", async () => {
    const output = new PassThrough();
    const text = textOf(output);
    const [result, container] = await docker.run("alpine", ["sh", "-c", "echo ran; exit 5"], output, { Tty: false });
    made.push(container);
    assert.equal(result.StatusCode, 5);
    assert.match(await text, /ran\n/);
    assert.match(await textOf(await container.logs({ stdout: true, follow: true })), /ran\n/);
  });

  test("every step", async () => {
    const container = await create({ Cmd: ["sleep", "100"], name: "dockerode-life", Labels: { of: "dockerode" } });
    const status = async () => (await container.inspect()).State.Status;
    const seen = [await status()];
    for (const step of ["start", "pause", "unpause", "restart", "stop", "start", "kill"]) {
      await container[step](step === "restart" || step === "stop" ? { t: 0 } : {});
      seen.push(await status());
    }
    assert.deepEqual(seen, ["created", "running", "paused", "running", "running", "exited", "running", "exited"]);
    await container.rename({ name: "dockerode-renamed" });
    assert.equal((await container.inspect()).Name, "/dockerode-renamed");
    await container.update({ RestartPolicy: { Name: "on-failure", MaximumRetryCount: 2 } });
    assert.equal((await container.inspect()).HostConfig.RestartPolicy.MaximumRetryCount, 2);
    await container.remove();
    await assert.rejects(container.inspect(), { statusCode: 404, reason: "no such container" });
  });

  test("refusals", async () => {
    const container = await start({ Cmd: ["sleep", "100"], name: "dockerode-refuses" });
    await assert.rejects(container.start(), { statusCode: 304 });
    await assert.rejects(container.remove(), { statusCode: 409 });
    await assert.rejects(create({ name: "dockerode-refuses" }), { statusCode: 409 });
    await assert.rejects(create({ Image: "not-there" }), { statusCode: 404 });
    await assert.rejects(docker.getContainer("not-there").start(), { statusCode: 404 });
  });

  test("wait for the next exit and the removal", async () => {
    const container = await create({ Cmd: ["sh", "-c", "sleep 0.2; exit 6"], HostConfig: { AutoRemove: true } });
    const [next, removed] = [container.wait({ condition: "next-exit" }), container.wait({ condition: "removed" })];
    await sleep(100);
    await container.start();
    assert.deepEqual([(await next).StatusCode, (await removed).StatusCode], [6, 6]);
  });

  test("a terminal's size", async () => {
    const container = await create({ Cmd: ["sh", "-c", "sleep 0.5; stty size"], Tty: true });
    const stream = await container.attach({ stream: true, stdout: true });
    await container.start();
    await container.resize({ h: 22, w: 55 });
    assert.equal((await textOf(stream)).trim(), "22 55");
  });

  test("top", async () => {
    const container = await start({ Cmd: ["sleep", "100"] });
    const { Titles, Processes } = await container.top({ ps_args: "-ef" });
    assert.equal(Titles[0], "UID");
    assert.match(Processes[0].join(" "), /sleep 100$/);
  });
});

describe("lists", () => {
  test("filters", async () => {
    const ids = [];
    for (const letter of ["a", "b"]) {
      const container = await create({
        Cmd: ["sh", "-c", "exit 7"],
        Labels: { list: letter },
        name: `dockerode-${letter}`,
      });
      ids.push(container.id);
    }
    await docker.getContainer(ids[0]).start();
    await docker.getContainer(ids[0]).wait();
    const list = async (filters) =>
      (await docker.listContainers({ all: true, filters })).map(({ Id }) => Id).filter((id) => ids.includes(id));
    assert.deepEqual(await list({ label: ["list=a"] }), [ids[0]]);
    assert.deepEqual(await list({ label: ["list"] }), [ids[1], ids[0]]);
    assert.deepEqual(await list({ name: ["dockerode-b"] }), [ids[1]]);
    assert.deepEqual(await list({ status: ["created"] }), [ids[1]]);
    assert.deepEqual(await list({ exited: ["7"] }), [ids[0]]);
    assert.deepEqual(await list({ since: ["dockerode-a"] }), [ids[1]]);
    assert.deepEqual(await list({ before: ["dockerode-b"] }), [ids[0]]);
    assert.deepEqual(await list({ id: [ids[0].slice(0, 12)] }), [ids[0]]);
    assert.deepEqual(await list({ ancestor: ["alpine"], label: ["list=b"] }), [ids[1]]);
    await assert.rejects(docker.listContainers({ filters: { nonsense: ["x"] } }), { statusCode: 400 });
    assert.equal((await docker.listContainers({ limit: 1 })).length, 1);
    assert.ok((await docker.listContainers({ all: true, size: true }))[0].SizeRootFs > 0);
  });

  test("facts", async () => {
    assert.equal((await docker.ping()).toString(), "OK");
    assert.ok((await docker.info()).NCPU > 0);
    assert.ok((await docker.version()).ApiVersion);
    const image = docker.getImage("alpine");
    assert.deepEqual((await image.inspect()).RepoTags.includes("alpine:latest"), true);
    await image.tag({ repo: "dockerode-image", tag: "one" });
    assert.equal((await docker.listImages({ filters: { reference: ["dockerode-image"] } })).length, 1);
    await docker.getImage("dockerode-image:one").remove();
  });
});

describe("networks", () => {
  const nets = [];
  after(async () => {
    for (const network of nets) await network.remove({ force: true }).catch(() => undefined);
  });
  async function net(options) {
    const network = await docker.createNetwork({ CheckDuplicate: true, ...options });
    nets.push(network);
    return network;
  }

  test("create, inspect, list", async () => {
    const network = await net({
      Name: "node-net",
      Driver: "bridge",
      Internal: true,
      Attachable: true,
      EnableIPv6: true,
      IPAM: {
        Driver: "default",
        Config: [
          { Subnet: "fd94:1::/64", Gateway: "fd94:1::ff" },
          {
            Subnet: "10.94.1.0/24",
            IPRange: "10.94.1.64/26",
            Gateway: "10.94.1.1",
            AuxiliaryAddresses: { x: "10.94.1.65" },
          },
        ],
        Options: { a: "b" },
      },
      Options: { "com.docker.network.bridge.name": "br-node-net" },
      Labels: { of: "node" },
    });
    const shown = await network.inspect();
    assert.equal(shown.Id, network.id);
    assert.deepEqual(
      [shown.Name, shown.Internal, shown.Attachable, shown.EnableIPv4, shown.EnableIPv6, shown.ConfigOnly],
      ["node-net", true, true, true, true, false],
    );
    assert.deepEqual(shown.IPAM.Config, [
      {
        Subnet: "10.94.1.0/24",
        IPRange: "10.94.1.64/26",
        Gateway: "10.94.1.1",
        AuxiliaryAddresses: { x: "10.94.1.65" },
      },
      { Subnet: "fd94:1::/64", Gateway: "fd94:1::ff" },
    ]);
    assert.deepEqual(shown.Containers, {});
    const list = (filters) => docker.listNetworks({ filters });
    for (const filters of [{ label: ["of=node"] }, { name: ["node-net"] }, { id: [network.id] }])
      assert.deepEqual(
        (await list(filters)).map(({ Id }) => Id),
        [network.id],
      );
    await assert.rejects(list({ nonsense: ["x"] }), { statusCode: 400 });
    await assert.rejects(docker.createNetwork({ Name: "node-net" }), { statusCode: 409 });
    await assert.rejects(docker.getNetwork("nosuch").inspect(), { statusCode: 404 });
    await network.remove();
    await assert.rejects(network.inspect(), { statusCode: 404 });
  });

  test("connect, disconnect, prune", async () => {
    const network = await net({
      Name: "node-net",
      IPAM: { Config: [{ Subnet: "10.94.2.0/24" }] },
      Labels: { of: "prune" },
    });
    const container = await start({ name: "node-on-net", HostConfig: { NetworkMode: "none" }, Cmd: ["sleep", "60"] });
    await assert.rejects(network.connect({ Container: container.id }), { statusCode: 400 });
    await docker.getNetwork("none").disconnect({ Container: container.id });
    await network.connect({
      Container: container.id,
      EndpointConfig: { Aliases: ["node"], IPAMConfig: { IPv4Address: "10.94.2.9" }, MacAddress: "02:42:00:94:02:09" },
    });
    await assert.rejects(network.connect({ Container: container.id }), { statusCode: 403 });
    const place = (await container.inspect()).NetworkSettings.Networks["node-net"];
    assert.deepEqual([place.IPAddress, place.MacAddress, place.Aliases], ["10.94.2.9", "02:42:00:94:02:09", ["node"]]);
    assert.equal((await network.inspect()).Containers[container.id].IPv4Address, "10.94.2.9/24");
    await assert.rejects(network.remove(), { statusCode: 403 });
    const filters = { label: ["of=prune"] };
    assert.equal((await docker.pruneNetworks({ filters })).NetworksDeleted, null);
    await network.disconnect({ Container: container.id, Force: true });
    await assert.rejects(network.disconnect({ Container: container.id }), { statusCode: 403 });
    assert.deepEqual((await docker.pruneNetworks({ filters })).NetworksDeleted, ["node-net"]);
  });

  test("a container with several networks from the start", async () => {
    for (const [index, Name] of ["node-a", "node-b"].entries())
      await net({ Name, IPAM: { Config: [{ Subnet: `10.94.${10 + index}.0/24` }] } });
    const container = await start({
      Cmd: ["sleep", "60"],
      ExposedPorts: { "80/tcp": {} },
      HostConfig: { NetworkMode: "node-b", PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] } },
      NetworkingConfig: {
        EndpointsConfig: {
          "node-b": { Aliases: ["b"] },
          "node-a": { IPAMConfig: { IPv4Address: "10.94.10.9" }, GwPriority: 1 },
        },
      },
    });
    const { NetworkSettings } = await container.inspect();
    assert.deepEqual(Object.keys(NetworkSettings.Networks).sort(), ["node-a", "node-b"]);
    assert.equal(NetworkSettings.Networks["node-a"].IPAddress, "10.94.10.9");
    assert.match(NetworkSettings.Ports["80/tcp"][0].HostPort, /^[1-9]\d+$/);
    const [listed] = await docker.listContainers({ filters: { network: ["node-a"] } });
    assert.equal(listed.Id, container.id);
    assert.deepEqual(Object.keys(listed.NetworkSettings.Networks).sort(), ["node-a", "node-b"]);
    await container.remove({ force: true });
  });
});

describe("events", () => {
  test("of a life", async () => {
    const filters = { label: ["of=events"] };
    const abort = new AbortController();
    const stream = await docker.getEvents({ filters, abortSignal: abort.signal });
    const container = await start({ Cmd: ["true"], Labels: { of: "events" } });
    await container.wait();
    await container.remove();
    const seen = (await waitFor(stream, '"destroy"'))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).Action);
    assert.deepEqual(seen, ["create", "start", "die", "destroy"]);
    abort.abort();
  });

  test("of the past", async () => {
    const container = await start({ Cmd: ["true"], Labels: { of: "past" } });
    await container.wait();
    const until = Math.floor(Date.now() / 1000) + 1;
    const stream = await docker.getEvents({ since: until - 60, until, filters: { container: [container.id] } });
    const seen = (await textOf(stream))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).Action);
    assert.deepEqual(seen, ["create", "start", "die"]);
  });
});
