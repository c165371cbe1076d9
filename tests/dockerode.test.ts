/** dockerode under Node, by what its own suite asks of an engine: tests/node/dockerode.mjs. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { resolve } from "node:path";
import { run, TestDaemon } from "./support/daemon.ts";

const suite = resolve(import.meta.dir, "node/dockerode.mjs");
const groups = ["attach", "exec", "logs", "commit", "life", "lists", "networks", "events"];

const daemon = new TestDaemon();
beforeAll(async () => {
  await (await daemon.start()).withImage();
});
afterAll(() => daemon.dispose());

test.each(groups)("dockerode: %s", async (group) => {
  const command = ["node", "--test-reporter=spec", `--test-name-pattern=^${group}$`, suite];
  const { code, stdout, stderr } = await run(command, { env: { BRIG_SOCKET: daemon.socket } });
  if (code !== 0) console.error(stdout, stderr);
  expect(stdout).toMatch(/^ℹ pass [1-9]\d*$/m);
  expect(code).toBe(0);
});
