/** `brig registry garbage-collect`: by the registry that serves the root, or by ourselves where none does. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sendSignal } from "../kernel/process.ts";
import type { FlagSpec, ParsedFlags } from "../lib/flags.ts";
import { Logger } from "../lib/logger.ts";
import { humanSize } from "../lib/units.ts";
import { StateDatabase } from "../state/database.ts";
import type { CollectionResult } from "./collect-garbage.ts";
import { CollectionRequests } from "./collection-requests.ts";
import { loadConfig, type RegistryConfig, serveFlags } from "./config.ts";
import { Registry } from "./registry.ts";
import { registrySchema } from "./schema.ts";
import { lockRoot, pidPath } from "./serve.ts";

const shown = ["config", "root", "gc-grace"];
/** Those of a registry that matter here; the others are known, since the same file sets them. */
export const garbageFlags: FlagSpec[] = serveFlags.map((flag) => ({ ...flag, hidden: !shown.includes(flag.name) }));

const SIGUSR1 = 10;
const patienceMs = 600_000;

/** Throws where there is no registry at the root. */
export async function collect(flags: ParsedFlags): Promise<number> {
  const config = loadConfig(flags);
  if (!existsSync(join(config.root, "registry.db"))) throw new Error(`${config.root} is no registry's directory`);
  const result = await byWhoHasTheRoot(config);
  console.log(
    `Removed ${result.blobs} blobs, ${result.links} unused links, ${result.uploads} unfinished uploads\nTotal reclaimed space: ${humanSize(result.bytes)}`,
  );
  return 0;
}

/** Whoever has locked it and does not serve is about to, or collects as we do: that is waited for. */
async function byWhoHasTheRoot(config: RegistryConfig): Promise<CollectionResult> {
  for (const begun = Date.now(); Date.now() - begun < patienceMs; await Bun.sleep(50)) {
    if (lockRoot(config.root)) return byOurselves(config);
    const server = existsSync(pidPath(config)) ? Number(readFileSync(pidPath(config), "utf8")) : 0;
    if (server > 0) return byTheServer(config.root, server);
  }
  throw new Error(`${config.root} is in use`);
}

async function byOurselves(config: RegistryConfig): Promise<CollectionResult> {
  const registry = new Registry(config, new Logger({ level: "error", format: "text" }));
  try {
    return await registry.collectGarbage();
  } finally {
    registry.close();
  }
}

async function byTheServer(root: string, server: number): Promise<CollectionResult> {
  const db = new StateDatabase(join(root, "registry.db"), registrySchema);
  const requests = new CollectionRequests(db);
  const id = requests.ask();
  try {
    sendSignal(server, SIGUSR1);
    for (const begun = Date.now(); Date.now() - begun < patienceMs; await Bun.sleep(50)) {
      const result = requests.take(id);
      if (result) return result;
    }
    throw new Error("the registry does not answer");
  } finally {
    requests.withdraw(id);
    db.close();
  }
}
