/** The Docker SDK for Python, by what its own suite asks of an engine: tests/python/suite.py. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { resolve } from "node:path";
import { run, TestDaemon } from "./support/daemon.ts";

const suite = resolve(import.meta.dir, "python/suite.py");
const groups = [
  "Creating",
  "Mounting",
  "Living",
  "Logging",
  "Attaching",
  "Executing",
  "Models",
  "Networks",
  "Events",
  "Committing",
  "System",
];

const daemon = new TestDaemon();
beforeAll(async () => {
  await (await daemon.start()).withImage();
});
afterAll(() => daemon.dispose());

test.each(groups)("the Docker SDK for Python: %s", async (group) => {
  const command = ["/usr/bin/python3", "-W", "ignore", suite, group];
  const { code, stderr } = await run(command, { env: { BRIG_HOST: daemon.host } });
  if (code !== 0) console.error(stderr);
  expect(stderr).toMatch(/\nRan [1-9]\d* tests? in .*\n\nOK\n$/);
});
