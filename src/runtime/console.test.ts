import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { isAlive } from "../kernel/process.ts";
import { Console } from "./console.ts";
import { readAll, TestHouse } from "./test-container.ts";

let house: TestHouse;

beforeAll(() => {
  house = new TestHouse();
});
afterAll(() => house.close());

describe("stdin", () => {
  test("20 MB go through, and end when the client says so", async () => {
    const { exit, console, attachment } = await house.run("through", ["cat"], { openStdin: true });
    const total = 20 * 1024 * 1024;
    const block = Buffer.alloc(100_000);
    for (let index = 0; index < block.length; index++) block[index] = index % 251;
    const sent = createHash("sha256");
    const write = async () => {
      for (let left = total; left > 0; left -= block.length) {
        const piece = block.subarray(0, Math.min(left, block.length));
        sent.update(piece);
        await attachment.write(piece);
      }
      attachment.closeStdin();
    };
    const received = createHash("sha256");
    let bytes = 0;
    const read = async () => {
      for await (const { data } of attachment.output) {
        received.update(data);
        bytes += data.length;
      }
    };
    await Promise.all([write(), read()]);
    expect(bytes).toBe(total);
    expect(received.digest("hex")).toBe(sent.digest("hex"));
    expect(await exit).toBe(0);
    console.close();
  });

  test("a client that leaves takes stdin with it, another does not", async () => {
    const { exit, console, attachment } = await house.run("leaves", ["cat"], { openStdin: true });
    const onlooker = console.attach({ stdin: false, stdout: true, stderr: true });
    onlooker.detach();
    await attachment.write(Buffer.from("still here"));
    const output = attachment.output[Symbol.asyncIterator]();
    expect(Buffer.from((await output.next()).value!.data).toString()).toBe("still here");
    attachment.detach();
    expect(await exit).toBe(0);
  });

  test("written to a process that never reads it, it ends with the process", async () => {
    const { exit, console, attachment } = await house.run("deaf", ["sleep", "0.2"], { openStdin: true });
    const written = attachment.write(Buffer.alloc(5_000_000));
    expect(await exit).toBe(0);
    console.close();
    await written;
  });
});

describe("a terminal", () => {
  test("has its size, and can be left and come back to", async () => {
    const options = { tty: true, openStdin: true, leaveStdinOpen: true };
    const { exit, console, attachment } = await house.run(
      "terminal",
      ["sh", "-c", "read a; stty size; read b"],
      options,
    );
    console.resize(41, 121);
    console.resize(40, 120);
    await Bun.sleep(100);
    attachment.detach();
    expect(await readAll(attachment.output)).toEqual(["", ""]);
    expect(console.clientCount).toBe(0);
    const again = console.attach({ stdin: true, stdout: true, stderr: true });
    await console.connect();
    await again.write(Buffer.from("x\ny\n"));
    expect(await exit).toBe(0);
    console.close();
    expect((await readAll(again.output))[0]).toContain("40 120\r\n");
  });
});

describe("several clients", () => {
  test("all get everything, or the streams they want", async () => {
    const launch = house.begin("several", ["sh", "-c", "seq 1 20000; echo err >&2"]);
    const exit = house.exitOf("several");
    const console = house.console("several");
    const both = console.attach({ stdin: false, stdout: true, stderr: true });
    const errors = console.attach({ stdin: false, stdout: false, stderr: true });
    await launch.proceed();
    await console.connectIfAwaited();
    const outputs = Promise.all([readAll(both.output), readAll(errors.output)]);
    await house.runtime.start("several");
    expect(await exit).toBe(0);
    console.close();
    const [[out, err], [none, onlyErr]] = await outputs;
    expect(out.split("\n").length).toBe(20001);
    expect([err, none, onlyErr]).toEqual(["err\n", "", "err\n"]);
  });

  test("one that does not read holds the process up, but not a dead one", async () => {
    const launch = house.begin("stalled", ["sh", "-c", "seq 1 1000000"]);
    const exit = house.exitOf("stalled");
    let pid = 0;
    const console = new Console({
      directory: house.bundle("stalled"),
      tty: false,
      closesStdin: false,
      isAlive: () => isAlive(pid),
    });
    const slow = console.attach({ stdin: false, stdout: true, stderr: true });
    ({ pid } = await launch.proceed());
    await console.connectIfAwaited();
    await house.runtime.start("stalled");
    expect(await Promise.race([exit, Bun.sleep(700)])).toBeUndefined();
    process.kill(pid, "SIGKILL");
    expect(await exit).toBe(137);
    console.close();
    const [out] = await readAll(slow.output);
    expect(out.length).toBeGreaterThan(1_000_000);
    expect(out.length).toBeLessThan(3_000_000);
  });

  test("attached to what is gone, the output ends", async () => {
    const console = new Console({ directory: house.bundle("gone"), tty: false, closesStdin: false });
    const attachment = console.attach({ stdin: true, stdout: true, stderr: true });
    await console.connect();
    await attachment.write(Buffer.from("nobody"));
    expect(await readAll(attachment.output)).toEqual(["", ""]);
  });
});
