#!/usr/bin/env bun
/** Which program is this: the command line, the daemon, a registry, or what the daemon starts to change mounts. */
const calledAs = process.argv0.slice(process.argv0.lastIndexOf("/") + 1);
const argv = process.argv.slice(2);

if (calledAs === "brigd" || argv[0] === "daemon") {
  const { runDaemon } = await import("./daemon/main.ts");
  process.exit(await runDaemon(calledAs === "brigd" ? argv : argv.slice(1)));
} else if (argv[0] === "registry") {
  const { runRegistry } = await import("./registry/main.ts");
  process.exit(await runRegistry(argv.slice(1)));
} else if (argv[0] === "mount-helper") {
  const { runMountHelper } = await import("./runtime/mount-helper.ts");
  process.exit(runMountHelper(argv.slice(1)));
} else {
  const { runCli } = await import("./cli/cli.ts");
  process.exit(await runCli(calledAs === "docker" ? "docker" : "brig", argv));
}

export {};
