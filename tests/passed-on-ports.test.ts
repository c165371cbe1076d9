/** Ports that the daemon itself passes on (IPv6 to a container with IPv4): what their clients cost it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import type { Socket } from "bun";
import { TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon([], ["prlimit", "--nofile=256:256"]);
let port = 0;

beforeAll(async () => {
  await daemon.start();
  await daemon.withImage();
});

afterAll(() => daemon.dispose());

async function serve(command: string): Promise<void> {
  const started = await daemon.docker("run", "-d", "--name", "server", "-p", "80", "alpine", "sh", "-c", command);
  expect(started.stderr).toBe("");
  const shown = await daemon.brig("port", "server", "80");
  port = Number(/\[::\]:(\d+)/.exec(shown.stdout)![1]);
  await Bun.sleep(300);
}

const connect = (socket: Partial<Bun.SocketHandler> = {}): Promise<Socket> =>
  Bun.connect<undefined>({ hostname: "::1", port, socket: { data() {}, ...socket } });

const descriptors = () => readdirSync(`/proc/${daemon.pid}/fd`).length;

async function becomes(wanted: () => boolean): Promise<boolean> {
  for (let attempt = 0; attempt < 100 && !wanted(); attempt++) await Bun.sleep(50);
  return wanted();
}

test("bytes pass both ways, and the last of them after the client has said its own last", async () => {
  await serve("nc -ll -p 80 -e sh -c 'cat; echo over'");
  const sent = Buffer.alloc(3 << 20, "0123456789");
  const received: Buffer[] = [];
  const ended = Promise.withResolvers<void>();
  let at = 0;
  const push = (socket: Socket) => {
    while (at < sent.length) {
      const written = socket.write(sent.subarray(at));
      if (written <= 0) return;
      at += written;
    }
    socket.shutdown();
  };
  await Bun.connect({
    hostname: "::1",
    port,
    allowHalfOpen: true,
    socket: {
      open: push,
      drain: push,
      data: (_, bytes) => void received.push(Buffer.from(bytes)),
      end: (socket) => void socket.end(),
      close: () => ended.resolve(),
    },
  });
  await ended.promise;
  expect(Buffer.concat(received).equals(Buffer.concat([sent, Buffer.from("over\n")]))).toBe(true);
  await daemon.docker("rm", "-f", "server");
});

test("who breaks off leaves nothing behind, and who does not is let go of with the container", async () => {
  await serve("nc -ll -p 80 -e sleep 1000");
  const before = descriptors();
  const clients = await Promise.all(Array.from({ length: 10 }, () => connect()));
  expect(await becomes(() => descriptors() >= before + 20)).toBe(true);
  for (const client of clients) client.terminate();
  expect(await becomes(() => descriptors() <= before)).toBe(true);
  let gone = 0;
  await Promise.all(Array.from({ length: 10 }, () => connect({ close: () => void gone++ })));
  await daemon.docker("rm", "-f", "server");
  expect(await becomes(() => gone === 10 && descriptors() <= before)).toBe(true);
});

test("a flood of clients leaves the daemon its descriptors", async () => {
  await serve("nc -ll -p 80 -e sleep 1000");
  const flood = Array.from({ length: 400 }, () => connect().catch(() => undefined));
  expect((await daemon.docker("run", "--rm", "alpine", "echo", "there")).stdout).toBe("there\n");
  for (const client of await Promise.all(flood)) client?.terminate();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const client = await connect({ close: () => resolve(false) });
  setTimeout(() => resolve(true), 300);
  expect(await promise).toBe(true);
  client.terminate();
  await daemon.docker("rm", "-f", "server");
});
