/** What the older iptables has in a chain, without running it: linux/netfilter_ipv4/ip_tables.h, ip6_tables.h. */
import { closeSync, readFileSync } from "node:fs";
import { bindLibc, check, SyscallError } from "./libc.ts";

const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_RAW = 255;
const SO_GET_INFO = 64;
const SO_GET_ENTRIES = 65;
const nameBytes = 32;
const infoBytes = 84;
const entriesHeaderBytes = 40;
const verdictOffset = 32;
const linkNameBytes = 16;
const VERDICT_DROP = -1;
const hooks = { FORWARD: 2, OUTPUT: 3 };

/** Where a rule of each family has what. */
const families = {
  4: { domain: 2, level: 0, names: "/proc/net/ip_tables_names", inLink: 16, outLink: 32, target: 88, next: 90 },
  6: { domain: 10, level: 41, names: "/proc/net/ip6_tables_names", inLink: 64, outLink: 80, target: 140, next: 142 },
};

const libc = bindLibc({
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
});

/** A chain of the table `filter`. */
export interface LegacyChain {
  /** Whether its policy is DROP. */
  drops: boolean;
  /** Names of the links its rules ask for, "" where a rule asks for none. */
  rules: { inLink: string; outLink: string }[];
}

/**
 * A chain, or undefined where the kernel has no such table: asking would make one. Takes microseconds where there is
 * none. Throws SyscallError.
 */
export function legacyChain(family: 4 | 6, chain: keyof typeof hooks): LegacyChain | undefined {
  const { domain, level, names, inLink, outLink, target, next } = families[family];
  if (!hasFilterTable(names)) return undefined;
  const fd = check(libc.socket(domain, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW), "socket", "SOCK_RAW");
  try {
    const info = Buffer.alloc(infoBytes);
    info.write("filter");
    read(fd, level, SO_GET_INFO, info);
    const first = info.readUInt32LE(36 + 4 * hooks[chain]);
    const policy = info.readUInt32LE(56 + 4 * hooks[chain]);
    const size = info.readUInt32LE(80);
    const answer = Buffer.alloc(entriesHeaderBytes + size);
    answer.write("filter");
    answer.writeUInt32LE(size, nameBytes);
    read(fd, level, SO_GET_ENTRIES, answer);
    const entries = answer.subarray(entriesHeaderBytes);
    const linkAt = (offset: number) => {
      const bytes = entries.subarray(offset, offset + linkNameBytes);
      return bytes.toString("latin1", 0, Math.max(0, bytes.indexOf(0)));
    };
    const rules: LegacyChain["rules"] = [];
    for (let at = first; at < policy; at += entries.readUInt16LE(at + next))
      rules.push({ inLink: linkAt(at + inLink), outLink: linkAt(at + outLink) });
    const verdict = entries.readInt32LE(policy + entries.readUInt16LE(policy + target) + verdictOffset);
    return { drops: verdict === VERDICT_DROP, rules };
  } catch (error) {
    // Somebody has changed it between the two calls: they will be asked again.
    if (error instanceof SyscallError && error.code === "EAGAIN") return undefined;
    throw error;
  } finally {
    closeSync(fd);
  }
}

export function hasLegacyFilter(): boolean {
  return Object.values(families).some(({ names }) => hasFilterTable(names));
}

function hasFilterTable(names: string): boolean {
  try {
    return readFileSync(names, "utf8").split("\n").includes("filter");
  } catch {
    return false;
  }
}

function read(fd: number, level: number, option: number, into: Buffer): void {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(into.length);
  check(libc.getsockopt(fd, level, option, into, length), "getsockopt", "the filter table of iptables-legacy");
}
