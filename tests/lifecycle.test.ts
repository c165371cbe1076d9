import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon();
beforeAll(async () => {
  await (await daemon.start()).withImage();
});
afterAll(() => daemon.dispose());

const docker = (...args: string[]) => daemon.docker(...args);
const status = async (name: string) => (await docker("inspect", "-f", "{{.State.Status}}", name)).stdout.trim();

describe("states", () => {
  test("created, running, paused, exited, gone; and the events on the way", async () => {
    const since = String(Date.now() / 1000);
    await docker("create", "--name", "life", "-l", "k=v", "alpine", "sleep", "100");
    expect(await status("life")).toBe("created");
    expect((await docker("start", "life")).stdout).toBe("life\n");
    expect(await status("life")).toBe("running");
    await docker("pause", "life");
    expect(await status("life")).toBe("paused");
    expect((await docker("ps", "--format", "{{.Status}}", "-f", "name=life")).stdout).toContain("(Paused)");
    expect((await docker("pause", "life")).stderr).toContain("is already paused");
    expect((await docker("exec", "life", "true")).stderr).toContain("is paused, unpause the container before exec");
    await docker("unpause", "life");
    await docker("rename", "life", "death");
    expect((await docker("stop", "-t", "0", "death")).stdout).toBe("death\n");
    expect(await status("death")).toBe("exited");
    expect((await docker("inspect", "-f", "{{.State.ExitCode}}", "death")).stdout).toBe("137\n");
    await docker("rm", "death");
    const until = String(Date.now() / 1000 + 1);
    const { stdout } = await docker(
      "events",
      "--since",
      since,
      "--until",
      until,
      "--filter",
      "type=container",
      "--format",
      '{{.Action}} {{index .Actor.Attributes "k"}}',
    );
    const actions = stdout
      .trim()
      .split("\n")
      .map((line) => line.replace(/ v$/, ""));
    expect(actions.filter((action) => !action.startsWith("exec"))).toEqual(
      "create start pause unpause rename kill kill die stop destroy".split(" "),
    );
    expect(stdout).toContain("create v");
  });

  test("what cannot be is refused in Docker's words", async () => {
    await docker("run", "-d", "--name", "runs", "alpine", "sleep", "100");
    expect((await docker("rm", "runs")).stderr).toContain(
      "container is running: stop the container before removing or force remove",
    );
    expect((await docker("create", "--name", "runs", "alpine")).stderr).toContain(
      'The container name "/runs" is already in use by container',
    );
    expect((await docker("unpause", "runs")).stderr).toContain("is not paused");
    expect((await docker("start", "runs")).code).toBe(0);
    await docker("kill", "runs");
    expect((await docker("kill", "runs")).stderr).toContain("is not running");
    expect((await docker("exec", "runs", "true")).stderr).toContain("is not running");
    expect((await docker("pause", "runs")).stderr).toContain("is not running");
    expect((await docker("rename", "runs", "not/good")).stderr).toContain(
      "Invalid container name (not/good), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
    );
    expect((await docker("inspect", "nobody")).stderr.toLowerCase()).toContain("no such object: nobody");
    expect((await docker("start", "nobody")).stderr).toContain("No such container: nobody");
    await docker("rm", "runs");
  });

  test("stop signals and time-outs", async () => {
    await docker(
      "run",
      "-d",
      "--name",
      "polite",
      "--stop-signal",
      "USR1",
      "alpine",
      "sh",
      "-c",
      "trap 'exit 7' USR1; while :; do sleep 0.05; done",
    );
    await Bun.sleep(300);
    await docker("stop", "polite");
    expect((await docker("wait", "polite")).stdout).toBe("7\n");
    await docker("rm", "polite");
  });

  test("restart", async () => {
    await docker("run", "-d", "--name", "again", "alpine", "sleep", "100");
    const before = (await docker("inspect", "-f", "{{.State.Pid}}", "again")).stdout;
    expect((await docker("restart", "-t", "0", "again")).stdout).toBe("again\n");
    expect((await docker("inspect", "-f", "{{.State.Pid}}", "again")).stdout).not.toBe(before);
    await docker("rm", "-f", "again");
  });

  test("kill with a signal, wait with several", async () => {
    await docker("run", "-d", "--name", "w1", "alpine", "sh", "-c", "trap 'exit 3' HUP; while :; do sleep 0.05; done");
    await docker("run", "-d", "--name", "w2", "alpine", "sh", "-c", "exit 4");
    await Bun.sleep(300);
    const waiting = docker("wait", "w1", "w2");
    await docker("kill", "-s", "HUP", "w1");
    expect((await waiting).stdout).toBe("3\n4\n");
    await docker("rm", "w1", "w2");
  });
});

describe("restart policies", () => {
  test("on-failure stops at its maximum", async () => {
    await docker("run", "-d", "--name", "fails", "--restart", "on-failure:2", "alpine", "sh", "-c", "echo run; exit 5");
    for (let i = 0; i < 100 && (await status("fails")) !== "exited"; i++) await Bun.sleep(50);
    expect((await docker("inspect", "-f", "{{.RestartCount}} {{.State.ExitCode}}", "fails")).stdout).toBe("2 5\n");
    expect((await docker("logs", "fails")).stdout).toBe("run\nrun\nrun\n");
    await docker("rm", "fails");
  });
  test("always restarts until it is stopped", async () => {
    await docker("run", "-d", "--name", "always", "--restart", "always", "alpine", "sh", "-c", "sleep 0.1");
    for (let i = 0; i < 100; i++) {
      const count = Number((await docker("inspect", "-f", "{{.RestartCount}}", "always")).stdout);
      if (count >= 2) break;
      await Bun.sleep(50);
    }
    await docker("stop", "-t", "0", "always");
    const count = (await docker("inspect", "-f", "{{.RestartCount}}", "always")).stdout;
    expect(Number(count)).toBeGreaterThanOrEqual(2);
    await Bun.sleep(500);
    expect(await status("always")).toBe("exited");
    expect((await docker("inspect", "-f", "{{.RestartCount}}", "always")).stdout).toBe(count);
    await docker("rm", "always");
  });
});

describe("ps and inspect", () => {
  test("filters, columns, formats", async () => {
    await docker("run", "-d", "--name", "one", "-l", "team=a", "alpine", "sleep", "100");
    await docker("create", "--name", "two", "-l", "team=b", "alpine", "true");
    const names = async (...args: string[]) =>
      (await docker("ps", "--format", "{{.Names}}", ...args)).stdout.trim().split("\n").filter(Boolean).sort();
    expect(await names()).toEqual(["one"]);
    expect(await names("-a")).toEqual(["one", "two"]);
    expect(await names("-a", "-f", "label=team=b")).toEqual(["two"]);
    expect(await names("-f", "status=created")).toEqual(["two"]);
    expect(await names("-a", "-f", "name=^/on")).toEqual(["one"]);
    expect(await names("-a", "-f", "ancestor=alpine")).toEqual(["one", "two"]);
    expect(await names("-a", "-f", "before=two")).toEqual(["one"]);
    expect(await names("-a", "-f", "since=one")).toEqual(["two"]);
    expect(await names("-l")).toEqual(["two"]);
    expect(await names("-n", "1")).toEqual(["two"]);
    expect((await docker("ps", "-f", "nonsense=1")).stderr).toContain("invalid filter 'nonsense'");
    const ours = await daemon.brig("ps", "-a", "--no-trunc", "--format", "table {{.ID}}\t{{.Names}}\t{{.Command}}");
    const theirs = await docker("ps", "-a", "--no-trunc", "--format", "table {{.ID}}\t{{.Names}}\t{{.Command}}");
    expect(ours.stdout).toBe(theirs.stdout);
    expect((await daemon.brig("ps", "-as")).stdout.replace(/ago|seconds?|second/g, "")).toBe(
      (await docker("ps", "-as")).stdout.replace(/ago|seconds?|second/g, ""),
    );
    const format = "{{.Name}} {{.State.Running}} {{json .Config.Labels}} {{range .Config.Cmd}}[{{.}}]{{end}}";
    expect((await daemon.brig("inspect", "-f", format, "one")).stdout).toBe('/one true {"team":"a"} [sleep][100]\n');
    expect((await daemon.brig("inspect", "one", "two")).stdout).toBe((await docker("inspect", "one", "two")).stdout);
    await docker("rm", "-f", "one", "two");
  });
  test("top", async () => {
    await docker("run", "-d", "--name", "top", "alpine", "sh", "-c", "sleep 100 & sleep 100");
    await Bun.sleep(200);
    const { stdout } = await docker("top", "top", "-o", "pid,comm");
    expect(stdout.split("\n")[0]).toMatch(/^PID\s+COMMAND/);
    expect(stdout.match(/sleep/g)?.length).toBe(2);
    await docker("rm", "-f", "top");
  });
});

describe("exec", () => {
  beforeAll(async () => {
    await docker("run", "-d", "--name", "box", "-e", "FROM=run", "alpine", "sleep", "1000");
  });
  afterAll(async () => {
    await docker("rm", "-f", "box");
  });
  test("output, exit code, environment, directory, user", async () => {
    const { code, stdout, stderr } = await docker(
      "exec",
      "-e",
      "X=1",
      "-w",
      "/tmp",
      "-u",
      "nobody",
      "box",
      "sh",
      "-c",
      "echo $X $FROM; pwd; id -un; echo no >&2; exit 9",
    );
    expect({ code, stdout, stderr }).toEqual({ code: 9, stdout: "1 run\n/tmp\nnobody\n", stderr: "no\n" });
  });
  test("stdin", async () => {
    expect((await daemon.dockerWith("a\nb\n", "exec", "-i", "box", "wc", "-l")).stdout.trim()).toBe("2");
  });
  test("a command that is not there", async () => {
    const { code, stderr, stdout } = await docker("exec", "box", "nosuch");
    expect(code).toBe(127);
    expect(stderr + stdout).toContain('exec: "nosuch": executable file not found in $PATH');
  });
  test("detached", async () => {
    await docker("exec", "-d", "box", "sh", "-c", "echo done >/tmp/detached");
    await Bun.sleep(300);
    expect((await docker("exec", "box", "cat", "/tmp/detached")).stdout).toBe("done\n");
  });
  test("a terminal", async () => {
    const { stdout } = await daemon.brig("exec", "-t", "box", "sh", "-c", "test -t 1 && echo terminal");
    expect(stdout).toBe("terminal\r\n");
  });
});
