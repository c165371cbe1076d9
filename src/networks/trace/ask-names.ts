/** Asks name servers from a network namespace, as a process there would. */
import { closeSync } from "node:fs";
import { connectTo, receive, send, socketAddress } from "../../kernel/inet.ts";
import { addressOfBytes, formatAddress } from "../addresses.ts";
import { encodeName, headerBytes, rcode, type } from "../names/message.ts";

/** What servers said: addresses, that there is no such name, or nothing. */
export type NameAnswer = { addresses: string[] } | "noName" | "failed" | "silent";

const patienceMs = 1200;
const stepMs = 5;
const answerBytes = 4096;

/**
 * Addresses of a name, IPv4 first. `inside` runs its argument in the namespace. Servers are
 * asked one after another until one has answered.
 */
export async function askNames(inside: <T>(work: () => T) => T, servers: string[], name: string): Promise<NameAnswer> {
  let last: NameAnswer = "silent";
  for (const server of servers.slice(0, 3)) {
    const four = await ask(inside, server, name, type.A);
    last = four;
    if (four === "noName") return four;
    if (typeof four === "string") continue;
    const six = await ask(inside, server, name, type.AAAA);
    return typeof six === "string" ? four : { addresses: [...four.addresses, ...six.addresses] };
  }
  return last;
}

async function ask(inside: <T>(work: () => T) => T, server: string, name: string, kind: number): Promise<NameAnswer> {
  const encoded = encodeName(name);
  if (encoded === undefined) return "noName";
  const id = Math.floor(Math.random() * 65536);
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(0x0100, 2);
  header.writeUInt16BE(1, 4);
  const query = Buffer.concat([header, encoded, Buffer.from([0, kind, 0, 1])]);
  let fd: number;
  try {
    fd = inside(() => connectTo("udp", socketAddress(server, 53)));
  } catch {
    return "failed";
  }
  try {
    send(fd, query);
    const answer = Buffer.alloc(answerBytes);
    for (const end = performance.now() + patienceMs; performance.now() < end; await Bun.sleep(stepMs)) {
      const length = receive(fd, answer);
      if (length === undefined || length < query.length || answer.readUInt16BE(0) !== id) continue;
      return readAnswer(answer.subarray(0, length), query.length, kind);
    }
    return "silent";
  } catch {
    // Nobody listens there, or what came is no answer.
    return "failed";
  } finally {
    closeSync(fd);
  }
}

/** Throws RangeError where it is cut off. */
export function readAnswer(answer: Buffer, questionEnd: number, kind: number): NameAnswer {
  const code = answer.readUInt16BE(2) & 0xf;
  if (code === rcode.noName) return "noName";
  if (code !== rcode.ok) return "failed";
  const addresses: string[] = [];
  let at = questionEnd;
  for (let left = answer.readUInt16BE(6); left > 0; left--) {
    while (answer.readUInt8(at) !== 0 && answer.readUInt8(at) < 0xc0) at += 1 + answer.readUInt8(at);
    at += answer.readUInt8(at) === 0 ? 1 : 2;
    const length = answer.readUInt16BE(at + 8);
    const data = answer.subarray(at + 10, at + 10 + length);
    if (answer.readUInt16BE(at) === kind && data.length === (kind === type.A ? 4 : 16))
      addresses.push(formatAddress(addressOfBytes(data)));
    at += 10 + length;
  }
  return { addresses };
}
