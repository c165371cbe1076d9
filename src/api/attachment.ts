/** A client and a container's streams, joined until one of them goes. */
import type { ClientStream } from "./client-stream.ts";
import type { Attachment } from "./rooms.ts";

const headerBytes = 8;

/** Docker's frame: the stream's number, three zeros, the length in four bytes, the data. */
export function frame(stream: number, data: Uint8Array): Uint8Array {
  const framed = Buffer.allocUnsafe(headerBytes + data.length);
  framed.writeUInt32BE((stream << 24) >>> 0, 0);
  framed.writeUInt32BE(data.length, 4);
  framed.set(data, headerBytes);
  return framed;
}

/**
 * Carries output to the client and what the client sends to stdin, both at the pace of who reads. Resolves when the
 * output has ended, or the client has gone, which detaches.
 */
export async function joinStreams(client: ClientStream, attachment: Attachment, framed: boolean): Promise<void> {
  const detach = () => attachment.detach();
  client.gone.addEventListener("abort", detach, { once: true });
  if (client.gone.aborted) detach();
  void carryInput(client, attachment);
  try {
    for await (const { stream, data } of attachment.output) {
      if (!(await client.write(framed ? frame(stream, data) : data))) break;
    }
  } finally {
    client.gone.removeEventListener("abort", detach);
    detach();
    client.end();
  }
}

async function carryInput(client: ClientStream, attachment: Attachment): Promise<void> {
  let taken = true;
  await client.forEachInput(async (data) => {
    if (!taken) return;
    try {
      await attachment.write(data);
    } catch {
      // The process no longer reads. What the client goes on sending is dropped, as a broken pipe would.
      taken = false;
    }
  });
  if (!client.gone.aborted && !client.speaksNever) attachment.closeStdin();
}

/** The content type of a container's or exec's streams for a client of that API version. */
export function streamType(tty: boolean, minor: number): string {
  return tty || minor < 42 ? "application/vnd.docker.raw-stream" : "application/vnd.docker.multiplexed-stream";
}
