import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupDirectories } from "../kernel/cgroups.ts";
import { isAlive, processStartTime, sendSignal } from "../kernel/process.ts";
import { findHelpers } from "./helpers.ts";
import { Runtime } from "./runtime.ts";
import { readAll, TestHouse } from "./test-container.ts";

let house: TestHouse;

beforeAll(() => {
  house = new TestHouse();
});
afterAll(() => house.close());

async function nothingLeft(id: string): Promise<void> {
  expect(readdirSync(join(house.root, "crun"))).not.toContain(id);
  expect(readdirSync(join(house.root, "conmon", "crun"))).not.toContain(id);
  for (const directory of cgroupDirectories(`${house.cgroup}/${id}`)) expect(existsSync(directory)).toBe(false);
}

describe("a container's life", () => {
  test("output, exit code and time of the end", async () => {
    const { exit, console, attachment } = await house.run("life", ["sh", "-c", "echo out; echo err >&2; exit 7"]);
    expect(await exit).toBe(7);
    console.close();
    expect(await readAll(attachment.output)).toEqual(["out\n", "err\n"]);
    const record = house.runtime.readExit("life");
    expect(record?.exitCode).toBe(7);
    expect(Math.abs(Number(record!.finishedAtNs / 1_000_000n) - Date.now())).toBeLessThan(5000);
    const log = readFileSync(house.logPath("life"), "utf8").trimEnd().split("\n");
    expect(log.map((line) => line.slice(35)).sort()).toEqual([" stderr F err", " stdout F out"]);
    await house.runtime.delete("life");
    await house.runtime.delete("life");
    await nothingLeft("life");
  });

  test("nothing of a quick process' output is missed", async () => {
    for (let round = 0; round < 5; round++) {
      const id = `quick${round}`;
      const { exit, console, attachment } = await house.run(id, ["seq", "1", "3000"]);
      expect(await exit).toBe(0);
      console.close();
      const [out] = await readAll(attachment.output);
      expect(out.split("\n").length).toBe(3001);
      await house.runtime.delete(id);
    }
  });

  test("a signal ends it with 128 and the signal's number", async () => {
    const { exit, pid } = await house.run("killed", ["sleep", "100"]);
    const startTime = processStartTime(pid)!;
    expect(house.runtime.kill("killed", { pid, startTime: startTime + 1 }, 9)).toBe(false);
    expect(house.runtime.kill("killed", { pid, startTime }, 9)).toBe(true);
    expect(await exit).toBe(137);
    expect(house.runtime.kill("killed", { pid, startTime }, 9)).toBe(false);
  });

  test("paused and resumed", async () => {
    const { exit, pid, attachment } = await house.run("paused", [
      "sh",
      "-c",
      "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done",
    ]);
    await attachment.output[Symbol.asyncIterator]().next();
    await house.runtime.pause("paused");
    const state = () => Bun.spawnSync(["crun", `--root=${house.root}/crun`, "state", "paused"]).stdout.toString();
    expect(state()).toContain('"paused"');
    sendSignal(pid, 15);
    expect(await Promise.race([exit, Bun.sleep(200)])).toBeUndefined();
    await house.runtime.resume("paused");
    expect(await exit).toBe(3);
  });

  test("delete kills what runs, and its children", async () => {
    const { pid } = await house.run("deleted", ["sh", "-c", "sleep 100 & sleep 100; true"]);
    while (house.runtime.pids("deleted").length < 3) await Bun.sleep(5);
    await house.runtime.delete("deleted");
    expect(isAlive(pid)).toBe(false);
    await nothingLeft("deleted");
  });
});

describe("what goes wrong", () => {
  const cases: [string, string, number][] = [
    ["nosuch", 'exec: "nosuch": executable file not found in $PATH: unknown', 127],
    ["/nosuch", 'exec: "/nosuch": stat /nosuch: no such file or directory: unknown', 127],
    ["/etc/notes", 'exec: "/etc/notes": permission denied: unknown', 126],
    ["/etc", 'exec: "/etc": permission denied: unknown', 126],
  ];
  test.each(cases)("the command %s", async (command, sentence, exitCode) => {
    const launch = house.begin("wrong", [command]);
    const failure = await launch.proceed().catch((error) => error);
    expect(failure.message).toStartWith("failed to create task for container: ");
    expect(failure.message).toEndWith(sentence);
    expect(failure.exitCode).toBe(exitCode);
    await nothingLeft("wrong");
  });

  test("a launch that is given up leaves nothing", async () => {
    const early = house.begin("early", ["true"]);
    await early.abort();
    await nothingLeft("early");
    const late = house.begin("late", ["true"]);
    const { pid, conmonPid } = await late.proceed();
    await late.abort();
    expect(isAlive(pid) || isAlive(conmonPid)).toBe(false);
    await nothingLeft("late");
  });

  test("a missing program is named with its package", () => {
    const options = {
      name: "crun",
      runtimePath: "/usr/bin/crun",
      conmonPath: "/usr/bin/conmon",
      stateRoot: join(house.root, "other"),
      runRoot: join(house.root, "other"),
      systemdCgroup: false,
    };
    const bundle = join(house.root, "missing");
    mkdirSync(bundle);
    const launch = { id: "missing", bundle, tty: false, openStdin: false, leaveStdinOpen: false };
    const noConmon = new Runtime({ ...options, conmonPath: "/nowhere/conmon" });
    expect(() => noConmon.begin(launch)).toThrow("apt-get install conmon");
    const noCrun = new Runtime({ ...options, runtimePath: "/nowhere/crun" });
    expect(() => noCrun.begin(launch)).toThrow("apt-get install crun");
    noConmon.close();
    noCrun.close();
  });

  test("a conmon that was killed takes its container with it", async () => {
    const { exit, pid, conmonPid, attachment } = await house.run("orphan", ["sleep", "100"]);
    process.kill(conmonPid, "SIGKILL");
    expect(await exit).toBe(137);
    expect(isAlive(pid)).toBe(false);
    expect(await readAll(attachment.output)).toEqual(["", ""]);
    await nothingLeft("orphan");
  });
});

describe("a daemon that comes back", () => {
  test("finds what runs and what has ended", async () => {
    const options = { openStdin: true };
    const running = await house.run("stays", ["sh", "-c", "read line; echo got $line; exit 5"], {
      ...options,
      leaveStdinOpen: true,
    });
    const ended = await house.run("ends", ["sh", "-c", "exit 9"]);
    expect(await ended.exit).toBe(9);
    house.runtime.close();
    house.runtime = house.open();
    expect(await house.runtime.reopen("ends", ended.conmonPid)).toMatchObject({ exitCode: 9 });
    expect(await house.runtime.reopen("stays", running.conmonPid)).toBeUndefined();
    const exit = house.exitOf("stays");
    const console = house.console("stays", { ...options, leaveStdinOpen: true });
    const attachment = console.attach({ stdin: true, stdout: true, stderr: true });
    await console.connect();
    await attachment.write(Buffer.from("hello\n"));
    expect(await exit).toBe(5);
    console.close();
    expect(await readAll(attachment.output)).toEqual(["got hello\n", ""]);
  });

  test("kills a container whose conmon was killed meanwhile", async () => {
    const { pid, conmonPid } = await house.run("lost", ["sleep", "100"]);
    house.runtime.close();
    process.kill(conmonPid, "SIGKILL");
    while (isAlive(conmonPid)) await Bun.sleep(1);
    house.runtime = house.open();
    expect(await house.runtime.reopen("lost", conmonPid)).toMatchObject({ exitCode: 137 });
    expect(isAlive(pid)).toBe(false);
    await nothingLeft("lost");
  });

  test("ends those who are still at work on what is nobody's, whether it was noted down or not", async () => {
    const others = new Set(readdirSync(join(house.root, "conmon", "crun")));
    const launch = house.begin("halfway", ["sleep", "100"]);
    const { conmonPid } = await launch.proceed();
    house.begin("unnoted", ["sleep", "100"]);
    rmSync(join(house.root, "conmon", "crun", "unnoted"));
    writeFileSync(join(house.root, "exits", "crun", "nobody"), "0");
    const successor = house.open();
    expect(await successor.removeStrays(others)).toEqual([]);
    expect(isAlive(conmonPid)).toBe(false);
    expect(findHelpers(join(house.root, "crun")).filter(({ container }) => !others.has(container))).toEqual([]);
    await nothingLeft("halfway");
    await nothingLeft("unnoted");
    successor.forgetOtherExits(others);
    expect(successor.readExit("nobody")).toBeUndefined();
    successor.close();
  });

  test("is told of a conmon that dies later", async () => {
    const { conmonPid } = await house.run("later", ["sleep", "100"]);
    house.runtime.close();
    house.runtime = house.open();
    expect(await house.runtime.reopen("later", conmonPid)).toBeUndefined();
    const exit = house.exitOf("later");
    process.kill(conmonPid, "SIGKILL");
    expect(await exit).toBe(137);
  });
});

describe("exec", () => {
  test("streams, exit codes and failures", async () => {
    await house.run("host", ["sleep", "1000"]);
    const start = (name: string, args: string[], attached = true, openStdin = false, tty = false) =>
      house.runtime.exec({
        id: "host",
        directory: join(house.bundle("host"), name),
        process: house.process(args, tty),
        openStdin,
        attach: attached ? { stdin: openStdin, stdout: true, stderr: true } : undefined,
      });
    const plain = await start("a", ["sh", "-c", "echo out; echo err >&2; exit 4"]);
    expect(await readAll(plain.attachment!.output)).toEqual(["out\n", "err\n"]);
    expect(await plain.exit).toBe(4);
    expect(existsSync(join(house.bundle("host"), "a"))).toBe(false);

    const piped = await start("b", ["wc", "-c"], true, true);
    await piped.attachment!.write(Buffer.alloc(1_000_000));
    piped.attachment!.closeStdin();
    expect(await readAll(piped.attachment!.output)).toEqual(["1000000\n", ""]);
    expect(await piped.exit).toBe(0);

    const terminal = await start("c", ["sh", "-c", "sleep 0.2; stty size"], true, true, true);
    expect(terminal.console.resize(33, 99)).toBe(true);
    expect(await readAll(terminal.attachment!.output)).toEqual(["33 99\r\n", ""]);

    const detached = await start("d", ["sh", "-c", "exit 6"], false);
    expect(await detached.exit).toBe(6);

    for (const [command, exitCode] of [
      ["nosuch", 127],
      ["/etc/notes", 126],
    ] as const) {
      const failure = await start("e", [command]).catch((error) => error);
      expect(failure.message).toStartWith("OCI runtime exec failed: exec failed: unable to start container process: ");
      expect(failure.exitCode).toBe(exitCode);
      expect(existsSync(join(house.bundle("host"), "e"))).toBe(false);
    }
  });
});
