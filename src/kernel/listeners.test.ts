import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { listeners, parseListeners } from "./listeners.ts";

test("who listens here is found, by address and port", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address() as { port: number };
  const found = listeners(process.pid, "tcp").filter((listener) => listener.port === port);
  expect(found).toEqual([{ protocol: "tcp", address: Buffer.from([127, 0, 0, 1]), port }]);
  await new Promise((done) => server.close(done));
  expect(listeners(process.pid, "tcp").some((listener) => listener.port === port)).toBe(false);
});

test("lines of both families; connections and noise are none", () => {
  const text = [
    "  sl  local_address rem_address   st tx_queue rx_queue",
    "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000",
    "   1: 0100007F:1F90 0100007F:A000 01 00000000:00000000 00:00000000",
    "   2: 0000000000000000FFFF00000200000A:0050 00000000000000000000000000000000:0000 0A 0",
    "  : junk",
  ].join("\n");
  expect(
    parseListeners(text, "tcp").map(({ address, port }) => `${Buffer.from(address).toString("hex")} ${port}`),
  ).toEqual(["7f000001 8080", "00000000000000000000ffff0a000002 80"]);
  expect(parseListeners(text, "udp")).toEqual([]);
});
