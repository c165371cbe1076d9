/** An engine's facts as `info` prints them. */
import { bytesSize } from "../../lib/units.ts";
import type { SystemInfo } from "../../wire/engine-api.ts";

/** The section of the server; only its heading where none answered. */
export function infoText(info: SystemInfo | undefined): string {
  if (info === undefined) return "\nServer:\n";
  const lines = [
    ...countLines(info),
    ...(info.DriverStatus ?? []).map(([name = "", value = ""]) => `  ${name}: ${value}`),
    ` Logging Driver: ${info.LoggingDriver ?? ""}`,
    ` Cgroup Driver: ${info.CgroupDriver ?? ""}`,
    ...present(" Cgroup Version: ", info.CgroupVersion),
    ...pluginLines(info),
    ` Swarm: ${info.Swarm?.LocalNodeState ?? "inactive"}`,
    ...runtimeLines(info),
    ...securityLines(info),
    ...machineLines(info),
    ...present(" HTTP Proxy: ", info.HttpProxy),
    ...present(" HTTPS Proxy: ", info.HttpsProxy),
    ...present(" No Proxy: ", info.NoProxy),
    ...list(" Labels:", info.Labels),
    ` Experimental: ${info.ExperimentalBuild ?? false}`,
    ...registryLines(info),
    ` Live Restore Enabled: ${info.LiveRestoreEnabled ?? false}`,
    ...present(" Product License: ", info.ProductLicense),
    ...poolLines(info),
  ];
  return `\nServer:\n${lines.map((line) => `${line}\n`).join("")}\n`;
}

/** What the engine warns of, for stderr. */
export function infoWarnings(info: SystemInfo): string {
  return (info.Warnings ?? []).map((warning) => `${warning}\n`).join("");
}

function present(label: string, value: string | undefined): string[] {
  return value === undefined || value === "" ? [] : [label + value];
}

function list(title: string, values: readonly string[] | null | undefined): string[] {
  return (values ?? []).length === 0 ? [] : [title, ...values!.map((value) => `  ${value}`)];
}

function countLines(info: SystemInfo): string[] {
  return [
    ` Containers: ${info.Containers ?? 0}`,
    `  Running: ${info.ContainersRunning ?? 0}`,
    `  Paused: ${info.ContainersPaused ?? 0}`,
    `  Stopped: ${info.ContainersStopped ?? 0}`,
    ` Images: ${info.Images ?? 0}`,
    ...present(" Server Version: ", info.ServerVersion),
    ` Storage Driver: ${info.Driver ?? ""}`,
  ];
}

function pluginLines(info: SystemInfo): string[] {
  const { Volume = [], Network = [], Authorization, Log = [] } = info.Plugins ?? {};
  return [
    " Plugins:",
    `  Volume: ${(Volume ?? []).join(" ")}`,
    `  Network: ${(Network ?? []).join(" ")}`,
    ...((Authorization ?? []).length > 0 ? [`  Authorization: ${Authorization!.join(" ")}`] : []),
    `  Log: ${(Log ?? []).join(" ")}`,
  ];
}

function runtimeLines(info: SystemInfo): string[] {
  const names = Object.keys(info.Runtimes ?? {}).sort();
  return [
    ...(names.length === 0 ? [] : [` Runtimes: ${names.join(" ")}`, ` Default Runtime: ${info.DefaultRuntime ?? ""}`]),
    ` Init Binary: ${info.InitBinary ?? ""}`,
    ` containerd version: ${info.ContainerdCommit?.ID ?? ""}`,
    ` runc version: ${info.RuncCommit?.ID ?? ""}`,
    ` init version: ${info.InitCommit?.ID ?? ""}`,
  ];
}

/** `name=seccomp,profile=builtin` becomes a line for the name and one for each other key. */
function securityLines(info: SystemInfo): string[] {
  const options = info.SecurityOptions ?? [];
  if (options.length === 0) return [];
  const lines = [" Security Options:"];
  for (const option of options) {
    const pairs = option.split(",").map((pair) => pair.split("="));
    lines.push(`  ${pairs.find(([key]) => key === "name")?.[1] ?? option}`);
    for (const [key = "", value = ""] of pairs) {
      if (key !== "name") lines.push(`   ${key.charAt(0).toUpperCase()}${key.slice(1)}: ${value}`);
    }
  }
  return lines;
}

function machineLines(info: SystemInfo): string[] {
  return [
    ` Kernel Version: ${info.KernelVersion ?? ""}`,
    ` Operating System: ${info.OperatingSystem ?? ""}`,
    ` OSType: ${info.OSType ?? ""}`,
    ` Architecture: ${info.Architecture ?? ""}`,
    ` CPUs: ${info.NCPU ?? 0}`,
    ` Total Memory: ${bytesSize(info.MemTotal ?? 0)}`,
    ` Name: ${info.Name ?? ""}`,
    ` ID: ${info.ID ?? ""}`,
    ` Docker Root Dir: ${info.DockerRootDir ?? ""}`,
    ` Debug Mode: ${info.Debug ?? false}`,
    ...(info.Debug ? debugLines(info) : []),
  ];
}

function debugLines(info: SystemInfo): string[] {
  return [
    `  File Descriptors: ${info.NFd ?? 0}`,
    `  Goroutines: ${info.NGoroutines ?? 0}`,
    `  System Time: ${info.SystemTime ?? ""}`,
    `  EventsListeners: ${info.NEventsListener ?? 0}`,
  ];
}

function registryLines(info: SystemInfo): string[] {
  const registry = info.RegistryConfig ?? {};
  const insecure = Object.entries(registry.IndexConfigs ?? {})
    .filter(([, index]) => index.Secure === false)
    .map(([name]) => name);
  return [
    ...list(" Insecure Registries:", [...insecure, ...(registry.InsecureRegistryCIDRs ?? [])]),
    ...list(" Registry Mirrors:", registry.Mirrors),
  ];
}

function poolLines(info: SystemInfo): string[] {
  const pools = info.DefaultAddressPools ?? [];
  if (pools.length === 0) return [];
  return [" Default Address Pools:", ...pools.map((pool) => `   Base: ${pool.Base}, Size: ${pool.Size}`)];
}
