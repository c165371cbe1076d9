/** Fails when a room of src/ imports from a room above it, or beside it, in the house. The order is docs/architecture.md's. */

import { dirname, join, normalize } from "node:path";
import { Glob } from "bun";

/** From the top of the house down; rooms of one floor do not know each other. */
const floors = [
  ["main.ts"],
  ["cli"],
  ["client"],
  ["daemon"],
  ["api"],
  ["containers"],
  ["images", "networks", "volumes", "registry", "events"],
  ["runtime", "storage", "distribution"],
  ["state", "trees"],
  ["kernel"],
  ["lib"],
  ["wire"],
];
const floorOf = new Map(floors.flatMap((rooms, floor) => rooms.map((room) => [room, floor] as const)));

let failures = 0;
for await (const file of new Glob("**/*.ts").scan("src")) {
  const room = file.split("/")[0]!;
  const floor = floorOf.get(room);
  if (floor === undefined) {
    console.error(`src/${file}: no floor is known for ${room}; add it to tools/check-imports.ts`);
    failures++;
    continue;
  }
  const source = await Bun.file(join("src", file)).text();
  for (const [, specifier] of source.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)) {
    const target = normalize(join(dirname(file), specifier!)).split("/")[0]!;
    if (target === room || target.startsWith("..")) continue;
    const targetFloor = floorOf.get(target);
    // `manifest` and `login` are the client's own business with registries.
    const talksPastClient =
      (room === "cli" || room === "client") &&
      !["client", "distribution", "trees", "lib", "wire", "kernel"].includes(target);
    if (targetFloor === undefined || targetFloor <= floor || talksPastClient) {
      console.error(`src/${file}: ${room}/ may not import ${specifier}`);
      failures++;
    }
  }
}
if (failures > 0) process.exit(1);
