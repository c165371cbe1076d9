import { afterAll, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SealedProgram } from "./sealed-program.ts";

const root = mkdtempSync(join(tmpdir(), "brig-sealed-"));
afterAll(() => rmSync(root, { recursive: true }));

const source = join(root, "program");
const output = (path: string) => Bun.spawnSync([path]).stdout.toString();

function install(words: string): void {
  rmSync(source, { force: true });
  writeFileSync(source, `#!/bin/sh\necho ${words}\n`);
  chmodSync(source, 0o755);
}

test("a copy that runs, cannot be written to, and follows its source", () => {
  install("one");
  const program = new SealedProgram(source);
  const { path } = program;
  expect(path).toStartWith(`/proc/${process.pid}/fd/`);
  expect(output(path)).toBe("one\n");
  expect(program.path).toBe(path);
  expect(() => writeFileSync(openSync(path, "r+"), "#!/bin/sh\n")).toThrow();
  install("another");
  expect(output(program.path)).toBe("another\n");
  const last = program.path;
  program.close();
  expect(existsSync(last)).toBe(false);
  rmSync(source);
  expect(() => program.path).toThrow("ENOENT");
});
