/** Help, word for word as the docker client of the version whose words Brig speaks prints it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { brigBinary, run, TestDaemon } from "./support/daemon.ts";

/** Other versions of the client have other flags and words. */
const spoken = Bun.spawnSync(["docker", "--version"]).stdout.toString().startsWith("Docker version 28.2.");

const words = (text: string) => text.trim().split(/\s+/);
const direct =
  words(`commit cp create diff export run start stop restart kill pause unpause rm rename wait attach exec logs ps inspect top
  port load save import pull images tag rmi events info version update stats history login logout search`);
const ofContainer =
  words(`commit cp create diff export run start stop restart kill pause unpause rm remove rename wait attach exec logs ls
  list ps inspect top port update stats prune`);
const ofImage = words("load save import pull ls list inspect tag rm remove prune history");
const ofManifest = words("create annotate inspect push rm");
const commands = [
  ["manifest"],
  ...ofManifest.map((name) => ["manifest", name]),
  ...direct.map((name) => [name]),
  ...ofContainer.map((name) => ["container", name]),
  ...ofImage.map((name) => ["image", name]),
];

/** Lines that are the program's own. */
const own = [/^ {2}(docker|brig) .*$/, /^Usage:/];

describe.skipIf(!spoken)("help", () => {
  const daemon = new TestDaemon();
  let program: string;
  beforeAll(async () => {
    await daemon.start();
    program = join(daemon.root, "docker");
    symlinkSync(brigBinary, program);
  });
  afterAll(() => daemon.dispose());

  test.each(commands.map((command) => [command.join(" "), command] as const))("%s", async (_, command) => {
    // The client asks the daemon, and hides what is for Windows alone.
    const env = { DOCKER_HOST: daemon.host };
    const [theirs, ours] = await Promise.all([
      run(["docker", ...command, "--help"], { env }),
      run([program, ...command, "--help"], { env }),
    ]);
    expect(ours.stdout.split("\n")).toEqual(theirs.stdout.split("\n"));
    expect([ours.code, ours.stderr]).toEqual([theirs.code, theirs.stderr]);
  });

  test("called by its own name it says so, and nothing else differs", async () => {
    const [asDocker, asBrig] = await Promise.all([run([program, "run", "--help"]), run([brigBinary, "run", "--help"])]);
    const shared = (text: string) => text.split("\n").filter((line) => !own.some((pattern) => pattern.test(line)));
    expect(asBrig.stdout).toStartWith("Usage:  brig run [OPTIONS] IMAGE [COMMAND] [ARG...]\n");
    expect(shared(asBrig.stdout)).toEqual(shared(asDocker.stdout));
  });
});
