/** Answers that report how far something is: JSON objects, one a line, and an error as the last of them. */

import type { ProgressMessage } from "../images/images.ts";
import { messageOf } from "../lib/errors.ts";
import type { ClientStream } from "./client-stream.ts";
import type { Exchange } from "./exchange.ts";

/** A client that reads slower than this misses how many bytes were done meanwhile, and nothing else. */
const pendingLimitBytes = 1024 * 1024;

/**
 * Answers with what `work` reports. What it throws before it has reported anything is thrown, so that it gets its
 * status; afterwards it is told as the last line.
 */
export async function reportProgress(
  exchange: Exchange,
  work: (report: (message: ProgressMessage) => void) => Promise<unknown>,
): Promise<void> {
  let client: ClientStream | undefined;
  const send = (message: ProgressMessage) => {
    client ??= exchange.stream("application/json");
    if (message.progressDetail?.current !== undefined && client.pendingBytes > pendingLimitBytes) return;
    void client.write(`${JSON.stringify(message)}\r\n`);
  };
  try {
    await work(send);
  } catch (error) {
    if (!exchange.answered || exchange.clientGone.aborted) throw error;
    send({ errorDetail: { message: messageOf(error) }, error: messageOf(error) });
  }
  client ??= exchange.stream("application/json");
  client.end();
}
