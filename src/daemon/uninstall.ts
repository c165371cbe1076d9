/** `brig daemon --uninstall`: takes the bridge and every rule of a daemon that no longer runs off the host. */

import { Events } from "../events/events.ts";
import { Netlink } from "../kernel/rtnetlink.ts";
import { conflict } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { Networks } from "../networks/networks.ts";
import { StateDatabase } from "../state/database.ts";
import type { DaemonConfig } from "./config.ts";

/**
 * Removes what the configuration's bridge name stands for; containers, images and volumes stay on disk. Throws where
 * containers are on one of its bridges: they go on when their daemon ends.
 */
export async function uninstall(config: DaemonConfig, log: Logger): Promise<void> {
  const occupied = occupiedBridges(config.network.bridge);
  if (occupied.length > 0)
    throw conflict(`the network cannot be removed while containers are on it: ${occupied.join(", ")}`);
  const db = new StateDatabase(":memory:");
  const warn = (message: string) => log.warn(message);
  const networks = new Networks({ db, events: new Events(), settings: config.network, warn });
  // What a crash may have left is found by bringing it to its known state first.
  networks.start([]);
  await networks.destroy();
  db.close();
}

function occupiedBridges(defaultBridge: string): string[] {
  const netlink = new Netlink();
  try {
    const links = netlink.links();
    const masters = new Set(links.filter(({ kind }) => kind === "veth").map(({ master }) => master));
    return links
      .filter(({ kind, alias }) => kind === "bridge" && alias === `brig ${defaultBridge}`)
      .filter(({ index }) => masters.has(index))
      .map(({ name }) => name);
  } finally {
    netlink.close();
  }
}
