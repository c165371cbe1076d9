/** `brig daemon --uninstall`: takes the bridge and every rule of a daemon that no longer runs off the host. */
import { Events } from "../events/events.ts";
import type { Logger } from "../lib/logger.ts";
import { Networks } from "../networks/networks.ts";
import { StateDatabase } from "../state/database.ts";
import type { DaemonConfig } from "./config.ts";

/** Removes what the configuration's bridge name stands for; containers, images and volumes stay on disk. */
export async function uninstall(config: DaemonConfig, log: Logger): Promise<void> {
  const db = new StateDatabase(":memory:");
  const warn = (message: string) => log.warn(message);
  const networks = new Networks({ db, events: new Events(), settings: config.network, warn });
  // What a crash may have left is found by bringing it to its known state first.
  networks.start([]);
  await networks.destroy();
  db.close();
}
