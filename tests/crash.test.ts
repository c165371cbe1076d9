import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import type { ContainerRecord } from "../src/containers/record.ts";
import { isAlive } from "../src/kernel/process.ts";
import { brigBinary, run, TestDaemon } from "./support/daemon.ts";

setDefaultTimeout(30_000);
const daemon = new TestDaemon();
beforeAll(async () => {
  await (await daemon.start()).withImage();
});
afterAll(() => daemon.dispose());
const docker = (...args: string[]) => daemon.docker(...args);
const crash = async () => {
  await daemon.end("SIGKILL");
  await daemon.start();
};

describe("the daemon is killed with -9", () => {
  test("containers go on; logs, exec, attach, stop work as before", async () => {
    await docker(
      "run",
      "-d",
      "--name",
      "lives",
      "-p",
      "127.0.0.1::80",
      "alpine",
      "sh",
      "-c",
      "mkdir /w; echo page >/w/index.html; httpd -p 80 -h /w; i=0; while :; do echo tick $i; i=$((i+1)); sleep 0.05; done",
    );
    await docker("run", "-dit", "--name", "shell", "alpine", "sh");
    await Bun.sleep(300);
    const pid = (await docker("inspect", "-f", "{{.State.Pid}}", "lives")).stdout;
    const port = (await docker("port", "lives", "80")).stdout.trim();
    await crash();
    expect((await docker("inspect", "-f", "{{.State.Pid}}", "lives")).stdout).toBe(pid);
    expect((await docker("exec", "lives", "echo", "in")).stdout).toBe("in\n");
    expect(await (await fetch(`http://${port}/`)).text()).toBe("page\n");
    await Bun.sleep(300);
    const lines = (await docker("logs", "lives")).stdout.trim().split("\n");
    for (const [index, line] of lines.entries()) expect(line).toBe(`tick ${index}`);
    const attached = Bun.spawn(["script", "-qefc", `docker -H ${daemon.host} attach shell`, "/dev/null"], {
      stdin: "pipe",
      stdout: "pipe",
    });
    await Bun.sleep(400);
    attached.stdin.write("echo still $((40+2))\r");
    await attached.stdin.flush();
    await Bun.sleep(300);
    attached.stdin.write("exit 4\r");
    await attached.stdin.flush();
    expect(await attached.stdout.text()).toContain("still 42");
    expect((await docker("inspect", "-f", "{{.State.ExitCode}}", "shell")).stdout).toBe("4\n");
    await docker("stop", "-t", "0", "lives");
    expect((await docker("inspect", "-f", "{{.State.Status}}", "lives")).stdout).toBe("exited\n");
    await docker("rm", "lives", "shell");
  });

  test("what ended meanwhile has its own exit code and time", async () => {
    await docker("run", "-d", "--name", "ends", "alpine", "sh", "-c", "sleep 0.5; exit 23");
    await docker("run", "-d", "--name", "fleeting", "--rm", "alpine", "sleep", "0.5");
    await docker("run", "-d", "--name", "returns", "--restart", "always", "alpine", "sleep", "0.7");
    await daemon.end("SIGKILL");
    await Bun.sleep(1500);
    await daemon.start();
    const { stdout } = await docker(
      "inspect",
      "-f",
      "{{.State.Status}} {{.State.ExitCode}} {{.State.FinishedAt}}",
      "ends",
    );
    const [status, code, finished] = stdout.trim().split(" ");
    expect({ status, code }).toEqual({ status: "exited", code: "23" });
    expect(Date.now() - Date.parse(finished!)).toBeGreaterThan(700);
    expect((await docker("ps", "-aq", "-f", "name=fleeting")).stdout).toBe("");
    for (let i = 0; i < 40 && (await docker("inspect", "-f", "{{.State.Running}}", "returns")).stdout !== "true\n"; i++)
      await Bun.sleep(50);
    expect(Number((await docker("inspect", "-f", "{{.RestartCount}}", "returns")).stdout)).toBeGreaterThanOrEqual(0);
    await docker("rm", "-f", "ends", "returns");
  });

  test("policies: always and unless-stopped", async () => {
    await docker("run", "-d", "--name", "us", "--restart", "unless-stopped", "alpine", "sleep", "100");
    await docker("run", "-d", "--name", "al", "--restart", "always", "alpine", "sleep", "100");
    await docker("stop", "-t", "0", "us", "al");
    await crash();
    await Bun.sleep(300);
    expect((await docker("inspect", "-f", "{{.State.Running}}", "us", "al")).stdout).toBe("false\ntrue\n");
    await docker("rm", "-f", "us", "al");
  });

  test("at random moments under load: nothing without an owner is left", async () => {
    for (let round = 0; round < 8; round++) {
      let stop = false;
      const load = Array.from({ length: 4 }, async (_, worker) => {
        for (let i = 0; !stop; i++)
          await docker("run", "--rm", "--name", `load-${round}-${worker}-${i}`, "alpine", "true");
      });
      await Bun.sleep(300 + Math.random() * 500);
      await daemon.end("SIGKILL");
      stop = true;
      await Promise.all(load);
      await daemon.start();
      const { stdout } = await docker("ps", "-aq");
      const ids = stdout.split("\n").filter(Boolean);
      if (ids.length > 0) await docker("rm", "-f", ...ids);
      expect(await daemon.leftovers()).toEqual([]);
    }
  }, 120_000);
});

/** One field of a container, or several with blanks between. */
const inspect = async (name: string, format: string) => (await docker("inspect", "-f", format, name)).stdout.trim();
const stateOf = (name: string) => inspect(name, "{{.State.Status}} {{.State.ExitCode}}");

async function until(what: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (await what()) return;
    await Bun.sleep(50);
  }
  throw new Error("it does not come about");
}

/** Starts another daemon that is not to come up; returns what it says. */
async function refusal(options: Record<string, string>): Promise<string> {
  const { root } = daemon;
  const roots = { "data-root": `${root}/data2`, "exec-root": `${root}/run2`, pidfile: `${root}/p2`, ...options };
  const flags = Object.entries(roots).flatMap(([name, value]) => [`--${name}`, value]);
  const other = ["-H", `unix://${root}/other.sock`, "--bridge", "bt-none", "--config-file", "/dev/null"];
  const { code, stderr } = await run([brigBinary, "daemon", ...other, ...flags]);
  expect(code).not.toBe(0);
  return stderr;
}

describe("what ends while it runs", () => {
  test("conmon is killed: the container ends with 137, and can be started again", async () => {
    await docker("run", "-d", "--name", "bereft", "alpine", "sleep", "1000");
    const waiting = docker("wait", "bereft");
    const { pid, conmonPid } = stateIn("bereft");
    process.kill(conmonPid, "SIGKILL");
    expect((await waiting).stdout).toBe("137\n");
    expect(await stateOf("bereft")).toBe("exited 137");
    expect(isAlive(pid)).toBe(false);
    expect((await docker("start", "bereft")).code).toBe(0);
    await docker("rm", "-f", "bereft");
  });

  test("conmon or init is killed while no daemon is there", async () => {
    await docker("run", "-d", "--name", "bereft", "alpine", "sleep", "1000");
    await docker("run", "-d", "--name", "headless", "alpine", "sleep", "1000");
    await daemon.end("SIGKILL");
    process.kill(stateIn("bereft").conmonPid, "SIGKILL");
    process.kill(stateIn("headless").pid, "SIGKILL");
    await Bun.sleep(300);
    await daemon.start();
    expect([await stateOf("bereft"), await stateOf("headless")]).toEqual(["exited 137", "exited 137"]);
    await docker("rm", "bereft", "headless");
    expect(await daemon.leftovers()).toEqual([]);
  });

  test("the machine is booted anew: what ran has ended with 255, and policies bring it back", async () => {
    const start = (name: string, ...options: string[]) =>
      docker("run", "-d", "--name", name, ...options, "alpine", "sleep", "1000");
    await start("plain", "-p", "127.0.0.1::80");
    await start("always", "--restart", "always");
    await start("failing", "--restart", "on-failure:2");
    await start("joined", "--restart", "always", "--network", "container:always");
    await start("stopped", "--restart", "unless-stopped");
    await docker("stop", "-t", "0", "stopped");
    await start("frozen");
    await docker("pause", "frozen");
    await start("passing", "--rm", "-v", "/data");
    await daemon.end("SIGKILL");
    // A frozen process dies when it is thawed: the kill comes first.
    await run(["sh", "-c", `pkill -KILL -f 'conmo[n].*${daemon.root}'`]);
    for (const { state } of records()) if (state.pid > 0) process.kill(state.pid, "SIGKILL");
    await run(["sh", "-c", `for f in /sys/fs/cgroup/freezer/brig/*/freezer.state; do echo THAWED >$f; done; true`]);
    await Bun.sleep(200);
    for (const { id } of records())
      await run(["sh", "-c", `find /sys/fs/cgroup -depth -type d -name ${id} -exec rmdir {} +; true`]);
    await run(["sh", "-c", `awk '{print $5}' /proc/self/mountinfo | grep '^${daemon.root}/run' | xargs -r umount -l`]);
    rmSync(`${daemon.root}/run`, { recursive: true });
    await run(["ip", "link", "delete", daemon.bridge]);
    const { stdout: tables } = await run(["sh", "-c", `nft list tables | grep -F ${daemon.bridge}`]);
    for (const table of tables.split("\n").filter(Boolean)) await run(["sh", "-c", `nft delete ${table}`]);
    await daemon.start();
    await until(async () => (await stateOf("joined")) === "running 0");
    expect(await stateOf("plain")).toBe("exited 255");
    expect(await stateOf("frozen")).toBe("exited 255");
    expect(await stateOf("stopped")).toBe("exited 137");
    expect([await stateOf("always"), await stateOf("failing")]).toEqual(["running 0", "running 0"]);
    expect((await docker("ps", "-aq", "-f", "name=passing")).stdout).toBe("");
    expect((await docker("volume", "ls", "-q")).stdout).toBe("");
    expect((await docker("start", "plain")).stderr).toBe("");
    expect((await docker("exec", "plain", "true")).code).toBe(0);
    const names = ["plain", "joined", "always", "failing", "stopped", "frozen"];
    expect((await docker("rm", "-f", ...names)).stderr).toBe("");
    expect(await daemon.leftovers()).toEqual([]);
  });
});

/** The containers' rows. */
function records(): Pick<ContainerRecord, "id" | "name" | "state">[] {
  const db = new Database(`${daemon.root}/data/state.db`, { readonly: true });
  try {
    return (db.query("SELECT record FROM containers").all() as { record: string }[]).map((row) =>
      JSON.parse(row.record),
    );
  } finally {
    db.close();
  }
}

/** What the database says of a container that runs. Never 0 for a pid: that would be all of us. */
function stateIn(name: string): { pid: number; conmonPid: number } {
  const { pid, conmonPid } = records().find((record) => record.name === name)!.state;
  expect(Math.min(pid, conmonPid)).toBeGreaterThan(1);
  return { pid, conmonPid };
}

describe("half done when the daemon died", () => {
  test("a removal is finished, with its volumes; a pause is known; a restart that was due is made", async () => {
    await docker("create", "--name", "doomed", "-v", "/data", "alpine");
    await docker("run", "-d", "--name", "frozen", "alpine", "sleep", "1000");
    await docker("pause", "frozen");
    await docker("run", "-d", "--name", "due", "--restart", "always", "alpine", "false");
    await docker("run", "-d", "--name", "spent", "--restart", "on-failure:1", "alpine", "false");
    await until(async () => (await inspect("due", "{{.RestartCount}}")) >= "3");
    await daemon.end("SIGKILL");
    const db = new Database(`${daemon.root}/data/state.db`);
    db.run(
      "UPDATE containers SET record = json_set(record, '$.state.status', 'removing', '$.removesVolumes', json('true')) WHERE name = 'doomed'",
    );
    db.run("UPDATE containers SET record = json_set(record, '$.state.status', 'restarting') WHERE name = 'spent'");
    db.run("UPDATE containers SET record = json_set(record, '$.state.status', 'running') WHERE name = 'frozen'");
    db.close();
    writeFileSync(`${daemon.root}/run/exits/crun/${"0".repeat(64)}`, "0");
    await daemon.start();
    expect((await docker("inspect", "doomed")).code).toBe(1);
    expect((await docker("volume", "ls", "-q")).stdout).toBe("");
    expect(await stateOf("spent")).toBe("exited 1");
    expect(await stateOf("frozen")).toBe("paused 0");
    expect((await docker("unpause", "frozen")).code).toBe(0);
    expect((await docker("exec", "frozen", "true")).code).toBe(0);
    expect(readdirSync(`${daemon.root}/run/exits/crun`)).toEqual([]);
    await until(async () => Number(await inspect("due", "{{.RestartCount}}")) >= 1);
    await docker("rm", "-f", "frozen", "due", "spent");
  });

  test("an exec's leftovers go, the exec goes on", async () => {
    await docker("run", "-d", "--name", "host", "alpine", "sleep", "1000");
    await docker("exec", "-d", "host", "sleep", "1000");
    await docker("exec", "-d", "host", "sleep", "0.5");
    const bundle = `${daemon.root}/run/containers/${await inspect("host", "{{.Id}}")}`;
    const execs = () => readdirSync(bundle).filter((name) => name.startsWith("exec-")).length;
    expect(execs()).toBe(2);
    await daemon.end("SIGKILL");
    await Bun.sleep(700);
    await daemon.start();
    expect(execs()).toBe(1);
    expect((await docker("top", "host")).stdout.match(/sleep 1000/g)?.length).toBe(2);
    await docker("rm", "-f", "host");
    expect(await daemon.leftovers()).toEqual([]);
  });
});

describe("restart policies", () => {
  test("a container that waits for its restart: start, stop, kill, restart, rm, update", async () => {
    const request = async (method: string, path: string) =>
      (await daemon.request(method, `/containers/${path}`)).status;
    // With one exit a second or less often, it mostly waits.
    const waiting = async (name: string) => {
      await docker("run", "-d", "--name", name, "--restart", "always", "alpine", "false");
      await until(async () => (await inspect(name, "{{.RestartCount}} {{.State.Status}}")) === "3 restarting");
    };
    await waiting("one");
    expect(await request("POST", "one/start")).toBe(304);
    expect(await request("DELETE", "one")).toBe(409);
    const ended = docker("wait", "one");
    expect(await request("POST", "one/stop")).toBe(204);
    expect((await ended).stdout).toBe("1\n");
    await Bun.sleep(1000);
    expect(await stateOf("one")).toBe("exited 1");
    await docker("rm", "one");

    await waiting("two");
    expect(await request("POST", "two/kill")).toBe(204);
    expect(await stateOf("two")).toBe("exited 1");
    expect(await request("POST", "two/restart")).toBe(204);
    await until(async () => (await inspect("two", "{{.RestartCount}} {{.State.Status}}")) === "2 restarting");
    await docker("update", "--restart", "no", "two");
    await until(async () => (await stateOf("two")) === "exited 1");
    expect(await request("DELETE", "two?force=1")).toBe(204);
    await waiting("three");
    expect(await request("DELETE", "three?force=1")).toBe(204);
    expect(await daemon.leftovers()).toEqual([]);
  });

  test("on-failure counts, and any signal by hand ends it", async () => {
    await docker("run", "-d", "--name", "thrice", "--restart", "on-failure:3", "alpine", "sh", "-c", "exit 9");
    await until(async () => (await stateOf("thrice")) === "exited 9");
    expect(await inspect("thrice", "{{.RestartCount}}")).toBe("3");
    await docker(
      "run",
      "-d",
      "--name",
      "told",
      "--restart",
      "always",
      "alpine",
      "sh",
      "-c",
      "trap 'exit 3' USR1; while :; do sleep 0.05; done",
    );
    await Bun.sleep(200);
    await docker("kill", "-s", "USR1", "told");
    await until(async () => (await stateOf("told")) === "exited 3");
    await docker("rm", "thrice", "told");
  });
});

test("many clients on the same containers: nothing hangs, nothing is left", async () => {
  const end = Date.now() + 4000;
  const followers: Promise<unknown>[] = [];
  const call = (method: string, path: string, body?: unknown) =>
    daemon.request(method, path, body).then(async (answer) => ({ status: answer.status, text: await answer.text() }));
  const pick = <T>(choices: T[]): T => choices[Math.floor(Math.random() * choices.length)]!;
  const client = async () => {
    while (Date.now() < end) {
      const name = pick(["mine", "yours"]);
      const path = `/containers/${name}`;
      const host = pick([{ AutoRemove: true }, { RestartPolicy: { Name: "always" } }, {}]);
      const body = {
        Image: "alpine",
        Cmd: pick([["sleep", "1000"], ["true"]]),
        Volumes: { "/v": {} },
        HostConfig: host,
      };
      const follow = pick([
        `${path}/wait?condition=removed`,
        `${path}/wait?condition=next-exit`,
        `${path}/attach?stream=1&stdout=1`,
      ]);
      followers.push(call("POST", follow));
      const [method, target] = pick([
        ["POST", `/containers/create?name=${name}`],
        ["POST", `${path}/start`],
        ["POST", `${path}/start`],
        ["POST", `${path}/stop?t=0`],
        ["POST", `${path}/kill`],
        ["POST", `${path}/restart?t=0`],
        ["POST", `${path}/rename?name=${pick(["mine", "yours"])}`],
        ["POST", `${path}/pause`],
        ["POST", `${path}/unpause`],
        ["DELETE", `${path}?v=1`],
        ["DELETE", `${path}?v=1&force=1`],
      ] as const);
      const { status, text } = await call(method, target, target.includes("create") ? body : undefined);
      expect(status < 500 ? "" : `${method} ${target}: ${text}`).toBe("");
    }
  };
  await Promise.all(Array.from({ length: 8 }, client));
  for (const { id } of records()) await call("DELETE", `/containers/${id}?v=1&force=1`);
  await Promise.all(followers);
  expect(records()).toEqual([]);
  expect(await daemon.leftovers()).toEqual([]);
  expect((await docker("volume", "ls", "-q")).stdout).toBe("");
}, 30_000);

test("roots that are another daemon's are refused", async () => {
  expect(await refusal({ "data-root": `${daemon.root}/data` })).toContain(`${daemon.root}/data`);
  expect(await refusal({ "exec-root": `${daemon.root}/run` })).toContain(`${daemon.root}/run`);
});

test("a data root of a newer version is refused; a pidfile that nobody removed does not matter", async () => {
  await daemon.end("SIGTERM");
  const change = (version: string) => {
    const db = new Database(`${daemon.root}/data/state.db`);
    const { user_version: before } = db.query("PRAGMA user_version").get() as { user_version: number };
    db.run(`PRAGMA user_version = ${version}`);
    db.close();
    return before;
  };
  const before = change("999");
  const said = await refusal({ "data-root": `${daemon.root}/data` });
  expect(said).toContain("newer version");
  change(String(before));
  writeFileSync(`${daemon.root}/brig.pid`, "1");
  await daemon.start();
});

test("SIGTERM ends the daemon and leaves the containers alone", async () => {
  await docker("run", "-d", "--name", "calm", "alpine", "sleep", "100");
  const pid = await inspect("calm", "{{.State.Pid}}");
  const followers = [docker("logs", "-f", "calm"), docker("wait", "calm"), docker("attach", "calm")];
  await Bun.sleep(300);
  await daemon.end("SIGTERM");
  await Promise.all(followers);
  await daemon.start();
  expect(await inspect("calm", "{{.State.Pid}}")).toBe(pid);
  await docker("rm", "-f", "calm");
});
