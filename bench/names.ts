/** Look-ups of a name as a container's process makes them, one after another, from inside of its network namespace. */
import { closeSync } from "node:fs";
import { EPOLLIN, Epoll } from "../src/kernel/epoll.ts";
import { connectTo, receive, send, socketAddress } from "../src/kernel/inet.ts";
import { insideNetworkNamespace, openNetworkNamespace } from "../src/kernel/namespaces.ts";
import { encodeName } from "../src/networks/names/message.ts";

export interface LookUps {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

const timeoutMs = 5000;

/**
 * Asks the name server at 127.0.0.11 of process `pid`'s namespace for the IPv4 address of `name`, by a socket of its own
 * each time, as resolvers do. Throws where an answer does not come or holds no address. Blocks meanwhile.
 */
export function lookUp(pid: number, name: string, count: number): LookUps {
  const namespace = openNetworkNamespace(pid);
  const epoll = new Epoll(1);
  const times = new Float64Array(count);
  const query = Buffer.concat([
    Buffer.of(0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0),
    encodeName(name)!,
    Buffer.of(0, 1, 0, 1),
  ]);
  const server = socketAddress("127.0.0.11", 53);
  const answer = Buffer.from(new ArrayBuffer(4096));
  try {
    const begun = performance.now();
    insideNetworkNamespace(namespace, () => {
      for (let index = 0; index < count; index++) {
        query.writeUInt16BE(index & 0xffff, 0);
        const began = performance.now();
        const fd = connectTo("udp", server);
        try {
          send(fd, query);
          epoll.add(fd, EPOLLIN, 0);
          if (epoll.wait(timeoutMs) === 0) throw new Error(`no answer for ${name}`);
          receive(fd, answer);
        } finally {
          closeSync(fd);
        }
        times[index] = performance.now() - began;
        if (answer.readUInt16BE(0) !== (index & 0xffff) || answer.readUInt16BE(6) === 0)
          throw new Error(`no address for ${name}`);
      }
    });
    const seconds = (performance.now() - begun) / 1000;
    times.sort();
    const at = (part: number) => times[Math.min(Math.floor(count * part), count - 1)]!;
    return { perSecond: count / seconds, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
  } finally {
    epoll.close();
    closeSync(namespace);
  }
}

if (import.meta.main) {
  const [pid, name, count] = process.argv.slice(2);
  console.log(JSON.stringify(lookUp(Number(pid), name!, Number(count ?? 100_000))));
}
