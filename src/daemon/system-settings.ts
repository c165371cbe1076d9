/** What /info and /version tell of the daemon's configuration. */

import { buildTime, gitCommit, version } from "../lib/version.ts";
import { dockerAddressPools } from "../networks/settings.ts";
import type { DaemonConfig } from "./config.ts";
import { findInit, programPath } from "./programs.ts";
import type { SystemSettings } from "./system-info.ts";

export function systemSettings(config: DaemonConfig, id: string, storageDriver: string): SystemSettings {
  const pools = config.network.defaultAddressPools;
  return {
    id,
    version,
    gitCommit,
    buildTime,
    dataRoot: config.dataRoot,
    labels: config.labels,
    debug: config.debug,
    experimental: config.experimental,
    storageDriver,
    cgroupDriver: config.systemdCgroup ? "systemd" : "cgroupfs",
    logDriver: config.logDriver,
    logDrivers: ["json-file", "local", "none"],
    defaultRuntime: config.defaultRuntime,
    runtimes: Object.fromEntries(Object.entries(config.runtimes).map(([name, { path }]) => [name, programPath(path)])),
    conmonPath: programPath("conmon"),
    initPath: config.initPath || findInit(),
    registryMirrors: config.registryMirrors,
    insecureRegistries: config.insecureRegistries,
    defaultAddressPools: pools.length > 0 ? pools : dockerAddressPools,
    httpProxy: config.proxies.http,
    httpsProxy: config.proxies.https,
    noProxy: config.proxies.none,
    insecureHosts: config.tls === undefined ? config.hosts.filter((host) => host.startsWith("tcp://")) : [],
  };
}
