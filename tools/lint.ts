/** Formatter, linter, types, and the order of the rooms. Stops at the first that finds something. */
const steps = [
  ["node_modules/.bin/biome", "ci", "--colors=off", "--error-on-warnings", "."],
  ["node_modules/.bin/tsc", "--noEmit"],
  [process.execPath, "tools/check-imports.ts"],
];
for (const step of steps) {
  const { exitCode } = Bun.spawnSync(step, { stdout: "inherit", stderr: "inherit" });
  if (exitCode !== 0) process.exit(exitCode);
}
