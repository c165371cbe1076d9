/** `brig registry serve`. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { closeFd, O_CLOEXEC, O_CREAT, O_RDWR, openPath, tryLock } from "../kernel/files.ts";
import { messageOf } from "../lib/errors.ts";
import type { ParsedFlags } from "../lib/flags.ts";
import { Logger } from "../lib/logger.ts";
import { CollectionRequests } from "./collection-requests.ts";
import { loadConfig, type RegistryConfig } from "./config.ts";
import { Registry } from "./registry.ts";
import { RegistryServer } from "./server.ts";

const patienceMs = 10_000;
/** A longer timer would go off at once. */
const mostTimerMs = 2 ** 31 - 1;

/** Serves until SIGTERM or SIGINT. Throws where the root is another registry's or the address is taken. */
export async function serve(flags: ParsedFlags): Promise<number> {
  const config = loadConfig(flags);
  const log = new Logger({ level: config.logLevel, format: config.logFormat });
  // First: to open a registry is to remove what a dead one left half done.
  if (!lockRoot(config.root)) throw new Error(`another registry serves ${config.root}`);
  const registry = new Registry(config, log);
  await registry.check().catch((thrown) => {
    throw new Error(`the bucket ${config.s3?.bucket} cannot be used: ${messageOf(thrown)}`);
  });
  const server = new RegistryServer(registry);
  const requests = new CollectionRequests(registry.metadata.db);
  const collect = async () => {
    try {
      const result = await registry.collectGarbage();
      requests.answerAll(result);
      log.info("garbage collected", { ...result });
    } catch (thrown) {
      log.error(`garbage was not collected: ${messageOf(thrown)}`);
    }
  };
  const intervalMs = Math.min(config.garbageIntervalMs, mostTimerMs);
  const timer = intervalMs > 0 ? setInterval(collect, intervalMs) : undefined;
  process.on("SIGUSR1", () => void collect());
  // Whoever reads it may send that signal.
  writeFileSync(pidPath(config), String(process.pid));
  process.on("SIGHUP", () => {
    server.reload().then(
      () => log.info("Reloaded certificates"),
      (thrown) => log.error(`certificates were not reloaded: ${messageOf(thrown)}`),
    );
  });
  process.on("unhandledRejection", (thrown) => log.error(`unexpected: ${(thrown as Error)?.stack ?? thrown}`));
  if (server.metricsAddress !== undefined) log.info(`Metrics are at ${server.metricsAddress}`);
  log.info(`Registry listens on ${server.address}`);
  const signal = await new Promise<string>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => resolve(name));
  });
  log.info(`${signal}: the registry ends`);
  clearInterval(timer);
  await server.stop(patienceMs);
  registry.close();
  return 0;
}

/** Where a registry that serves says which process it is. */
export const pidPath = ({ root }: Pick<RegistryConfig, "root">): string => join(root, "registry.pid");

/** Locks a registry's root until the process ends; makes it where there is none. False where another process has it. */
export function lockRoot(root: string): boolean {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const fd = openPath(join(root, "lock"), O_CREAT | O_RDWR | O_CLOEXEC, 0o600);
  if (!tryLock(fd, "exclusive")) {
    closeFd(fd);
    return false;
  }
  // A dead registry's: that number may be anybody's now.
  rmSync(pidPath({ root }), { force: true });
  return true;
}
