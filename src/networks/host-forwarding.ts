/** Whether the host is a router, and whether it is one because of Brig. */
import { readFileSync } from "node:fs";
import type { StateDatabase } from "../state/database.ts";
import type { Family } from "./addresses.ts";
import { forwards, turnOnForwarding } from "./bridge.ts";

const keys: Record<Family, string> = {
  4: "networks.forwarding-enabled-in-boot",
  6: "networks.forwarding6-enabled-in-boot",
};

/** Turns the host's forwarding on. Returns whether it is on because of Brig, since the machine was booted. */
export function enableForwarding(db: StateDatabase, family: Family): boolean {
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  if (!forwards(family)) {
    db.run("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", keys[family], boot);
    turnOnForwarding(family);
  }
  return db.get<{ value: string }>("SELECT value FROM settings WHERE key = ?", keys[family])?.value === boot;
}
