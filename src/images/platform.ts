/** Platforms: what this machine runs, what was asked for, which entry of a list serves it. */

import type { Descriptor } from "../distribution/documents.ts";
import { invalidParameter } from "../lib/errors.ts";
import type { OCIPlatform } from "../wire/engine-api.ts";

export interface Platform {
  os: string;
  architecture: string;
  variant: string;
}

const architectureNames: Record<string, [architecture: string, variant: string]> = {
  x86_64: ["amd64", ""],
  "x86-64": ["amd64", ""],
  amd64: ["amd64", ""],
  i386: ["386", ""],
  i686: ["386", ""],
  aarch64: ["arm64", ""],
  arm64: ["arm64", ""],
  armhf: ["arm", "v7"],
  armel: ["arm", "v6"],
};
const nodeArchitectures: Record<string, string> = { x64: "amd64", ia32: "386" };
const knownOperatingSystems = new Set(["linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "wasi"]);
const knownArchitectures = new Set(
  "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm".split(" "),
);

/** What this machine runs. */
export function hostPlatform(): Platform {
  const architecture = nodeArchitectures[process.arch] ?? process.arch;
  return { os: "linux", architecture, variant: architecture === "arm" ? "v7" : "" };
}

/** Parses `linux/arm/v7`, `arm64` or `linux`. Throws invalidParameter with containerd's sentence. */
export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split("/");
  if (parts.length > 3 || !parts.every((part) => /^[a-z0-9_.-]+$/.test(part)))
    throw invalidParameter(`"${text}": cannot parse platform specifier: invalid argument`);
  const host = hostPlatform();
  if (parts.length === 1) {
    const [only] = parts as [string];
    if (knownOperatingSystems.has(only)) return { ...host, os: only };
    const [architecture, variant] = normalArchitecture(only, "");
    if (!knownArchitectures.has(architecture))
      throw invalidParameter(`"${text}": unknown operating system or architecture: invalid argument`);
    return { os: host.os, architecture, variant };
  }
  const [architecture, variant] = normalArchitecture(parts[1]!, parts[2] ?? "");
  return { os: parts[0]!, architecture, variant };
}

function normalArchitecture(name: string, variant: string): [architecture: string, variant: string] {
  const [architecture, implied] = architectureNames[name] ?? [name, ""];
  if (variant === "" && architecture === "arm") return [architecture, implied || "v7"];
  if (architecture === "arm" || architecture === "arm64") {
    const numbered = /^\d/.test(variant) ? `v${variant}` : variant;
    return [architecture, architecture === "arm64" && numbered === "v8" ? "" : numbered || implied];
  }
  return [architecture, variant];
}

/** `linux/arm/v7`. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter((part) => part !== "").join("/");
}

/** A fit from here on is the platform that was asked for, and not merely one that it runs as well. */
export const exactFit = 80;

/**
 * How well a platform serves what is wanted: higher is better, 0 is not at all. 32-bit ARM goes down from the
 * wanted version, and amd64's levels count as amd64's base only when nothing better is there.
 */
export function platformFit(wanted: Platform, offered: OCIPlatform | undefined): number {
  if (!offered || offered.os !== wanted.os) return 0;
  const [architecture, variant] = normalArchitecture(offered.architecture ?? "", offered.variant ?? "");
  if (architecture !== wanted.architecture) {
    return wanted.architecture === "arm64" && architecture === "arm" ? armFit("v8", variant) : 0;
  }
  if (variant === wanted.variant) return 100;
  if (architecture === "arm") return armFit(wanted.variant, variant);
  if (variant === "") return 90;
  if (wanted.variant === "") return architecture === "amd64" && variant !== "v1" ? 0 : 80;
  return Number(variant.slice(1)) < Number(wanted.variant.slice(1)) ? 50 + Number(variant.slice(1)) : 0;
}

function armFit(wanted: string, offered: string): number {
  const [most, version] = [Number(wanted.slice(1)), Number(offered.slice(1))];
  return version <= most ? 10 + version : 0;
}

/** The entry of an index that serves a platform best, or undefined. Earlier entries win ties. */
export function choosePlatform(manifests: Descriptor[], wanted: Platform): Descriptor | undefined {
  let best: Descriptor | undefined;
  let bestFit = 0;
  for (const manifest of manifests) {
    const fit = platformFit(wanted, manifest.platform);
    if (fit > bestFit) [best, bestFit] = [manifest, fit];
  }
  return best;
}
