/** A real attempt: a connection that is closed at once, or one echo request. */
import { closeSync } from "node:fs";
import { connectEcho, connectTo, isConnected, receive, send, socketAddress, socketError } from "../../kernel/inet.ts";
import { SyscallError } from "../../kernel/libc.ts";

/** How it went: answered; refused by the target (ECONNREFUSED); unreachable, with the errno's name; or no answer in time. */
export type AttemptResult = "answered" | "refused" | "silent" | { failed: string };

const patienceMs = 1500;
const stepMs = 5;
const echo = { 4: { request: 8, reply: 0 }, 6: { request: 128, reply: 129 } };

/** Connects by TCP from a namespace; `inside` runs its argument there. */
export function attemptConnection(
  inside: <T>(work: () => T) => T,
  address: string,
  port: number,
): Promise<AttemptResult> {
  return attempt(
    () => inside(() => connectTo("tcp", socketAddress(address, port))),
    (fd) => {
      const error = socketError(fd);
      if (error !== 0) throw new SyscallError("connect", error);
      return isConnected(fd);
    },
  );
}

/** Sends one echo request. */
export function attemptEcho(inside: <T>(work: () => T) => T, address: string): Promise<AttemptResult> {
  const { request, reply } = echo[address.includes(":") ? 6 : 4];
  const id = Math.floor(Math.random() * 65536);
  const packet = Buffer.from([request, 0, 0, 0, id >> 8, id & 255, 0, 1]);
  // Of ICMPv6 the kernel writes it itself.
  const sum = (request << 8) + id + 1;
  packet.writeUInt16BE(~((sum & 0xffff) + (sum >> 16)) & 0xffff, 2);
  const answer = Buffer.alloc(256);
  return attempt(
    () => {
      const fd = inside(() => connectEcho(address));
      try {
        send(fd, packet);
      } catch (error) {
        closeSync(fd);
        throw error;
      }
      return fd;
    },
    (fd) => {
      for (let length = receive(fd, answer); length !== undefined; length = receive(fd, answer)) {
        // IPv4 comes with its header.
        const start = request === echo[4].request ? (answer[0]! & 0xf) * 4 : 0;
        if (length >= start + 8 && answer[start] === reply && answer.readUInt16BE(start + 4) === id) return true;
      }
      return false;
    },
  );
}

async function attempt(open: () => number, isDone: (fd: number) => boolean): Promise<AttemptResult> {
  let fd: number | undefined;
  try {
    fd = open();
    for (const end = performance.now() + patienceMs; performance.now() < end; await Bun.sleep(stepMs))
      if (isDone(fd)) return "answered";
    return "silent";
  } catch (error) {
    const { code = "" } = error as { code?: string };
    return code === "ECONNREFUSED" ? "refused" : { failed: code };
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
