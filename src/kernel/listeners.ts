/** Which sockets wait for others in a network namespace: /proc/PID/net/tcp and its siblings (proc_pid_net(5)). */
import { closeSync, openSync, readSync } from "node:fs";

/** A port somebody waits at. */
export interface Listener {
  protocol: "tcp" | "udp";
  /** 4 or 16 bytes; all zero: every address, of IPv6 as a rule also those of IPv4. */
  address: Uint8Array;
  port: number;
}

/** TCP_LISTEN; of a UDP socket that is not connected: TCP_CLOSE. */
const states = { tcp: "0A", udp: "07" };
/** Listening sockets stand before all others: a host with many connections is not read to the end. */
const limitBytes = 1024 * 1024;
const pieceBytes = 32 * 1024;

/** Those of the namespace a process is in. Throws ENOENT where the process is gone. */
export function listeners(pid: number, protocol: Listener["protocol"]): Listener[] {
  return ["", "6"].flatMap((family) => parseListeners(readStart(`/proc/${pid}/net/${protocol}${family}`), protocol));
}

/** The lines of such a file. */
export function parseListeners(text: string, protocol: Listener["protocol"]): Listener[] {
  const found: Listener[] = [];
  for (const [, address = "", port = "", state] of text.matchAll(
    /^ *\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /gm,
  ))
    if (state === states[protocol])
      // Each four bytes are a number as the machine has it.
      found.push({ protocol, address: Buffer.from(address, "hex").swap32(), port: Number.parseInt(port, 16) });
  return found;
}

/** What a file begins with; "" where there is none, as without IPv6. */
function readStart(path: string): string {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" && path.endsWith("6")) return "";
    throw error;
  }
  try {
    const pieces: string[] = [];
    const piece = Buffer.allocUnsafe(pieceBytes);
    for (let total = 0; total < limitBytes; ) {
      const length = readSync(fd, piece, 0, piece.length, null);
      if (length === 0) break;
      pieces.push(piece.toString("latin1", 0, length));
      total += length;
    }
    return pieces.join("");
  } finally {
    closeSync(fd);
  }
}
