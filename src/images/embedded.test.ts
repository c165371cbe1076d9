import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { noProxies } from "../distribution/proxies.ts";
import { sha256Of } from "../lib/reference.ts";
import { embeddedImage, embeddedProgram } from "./embedded.ts";
import { Bench } from "./testing.ts";

test("the program is a few hundred bytes and greets", async () => {
  const directory = mkdtempSync(join(tmpdir(), "brig-hello-"));
  try {
    const program = embeddedProgram(process.arch === "arm64" ? "arm64" : "amd64");
    expect(program.length).toBeLessThan(1000);
    const path = join(directory, "hello");
    writeFileSync(path, program, { mode: 0o755 });
    const { stdout, exitCode } = Bun.spawnSync([path]);
    expect(stdout.toString()).toStartWith("Hello from Brig!\n");
    expect(exitCode).toBe(0);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("the arm64 program has the instructions that an assembler makes", () => {
  const program = embeddedProgram("arm64");
  const words = Array.from({ length: 8 }, (_, index) => program.readUInt32LE(120 + 4 * index).toString(16));
  const length = program.length - 152;
  expect(words).toEqual([
    "d2800020", // mov x0, #1
    "100000e1", // adr x1, .+28
    (0xd2800002 + length * 32).toString(16), // mov x2, #length
    "d2800808", // mov x8, #64
    "d4000001", // svc #0
    "d2800000", // mov x0, #0
    "d2800ba8", // mov x8, #93
    "d4000001", // svc #0
  ]);
});

test("the image is the same every time", () => {
  expect(sha256Of(embeddedImage("amd64").manifest)).toBe(sha256Of(embeddedImage("amd64").manifest));
  expect(embeddedImage("amd64").manifest).not.toEqual(embeddedImage("arm64").manifest);
});

test("it is used for hello-world alone, when nothing answers", async () => {
  const bench = new Bench();
  try {
    // A way out that leads nowhere, so that the test is the same on a machine that could reach docker.io.
    bench.images.settings = { ...bench.images.settings, proxies: { ...noProxies, https: "http://127.0.0.1:1" } };
    const platform = "linux/amd64";
    const image = await bench.images.pull({ reference: "hello-world", tag: "latest", platform }, bench.report);
    expect(image.references).toEqual(["hello-world:latest"]);
    expect(image.config.Cmd).toEqual(["/hello"]);
    expect(bench.messages.some(({ status }) => status?.includes("No registry can be reached"))).toBe(true);
    await expect(bench.images.pull({ reference: "alpine", tag: "latest" }, bench.report)).rejects.toThrow(
      'Get "https://registry-1.docker.io/v2/": proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused',
    );
  } finally {
    bench.close();
  }
});
