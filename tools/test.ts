/** Lints, runs every test, and ends with a line of true numbers: `N passed, N failed, N skipped`. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const timeoutMs = 60_000;
const run = (command: string[]) => Bun.spawnSync(command, { stdout: "inherit", stderr: "inherit" }).exitCode;

const lint = run([process.execPath, "tools/lint.ts"]);
const scratch = mkdtempSync(join(tmpdir(), "brig-test-"));
const report = join(scratch, "report.xml");
const tests = run([
  process.execPath,
  "test",
  `--timeout=${timeoutMs}`,
  "--reporter=junit",
  `--reporter-outfile=${report}`,
  ...process.argv.slice(2),
]);
const summary = (await Bun.file(report).text()).match(/<testsuites [^>]*>/)?.[0] ?? "";
rmSync(scratch, { recursive: true });

const count = (name: string) => Number(summary.match(new RegExp(`\\b${name}="(\\d+)"`))?.[1] ?? Number.NaN);
const failed = count("failures") + (lint === 0 ? 0 : 1);
const passed = count("tests") - count("failures") - count("skipped") + (lint === 0 ? 1 : 0);
// A file that cannot be loaded fails the run without being a test of its own.
const broken = tests !== 0 && count("failures") === 0 ? 1 : 0;
console.log(`${passed} passed, ${failed + broken} failed, ${count("skipped")} skipped`);
process.exit(lint === 0 && tests === 0 && passed > 0 ? 0 : 1);
