/** GET /containers/{id}/logs */
import { invalidParameter } from "../lib/errors.ts";
import { parseTimestamp } from "../lib/time.ts";
import { streamType } from "./attachment.ts";
import type { Exchange } from "./exchange.ts";
import { booleanOf, stringOf } from "./query.ts";
import type { ContainersRoom, LogOptions } from "./rooms.ts";

/** How long the first lines of a log that is followed may keep the status back: an error may come in their stead. */
const firstLinesPatienceMs = 10;

/** Answers with the log, at the pace the client reads, for as long as it does. */
export async function sendLogs(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  const { name, query, minor } = exchange;
  const options = logOptions(query, exchange.clientGone);
  if (!options.stdout && !options.stderr) throw invalidParameter("Bad parameters: you must choose at least one stream");
  const { Tty: tty = false } = containers.find(name).record.config;
  const lines = containers.logs(name, options)[Symbol.asyncIterator]();
  const first = lines.next();
  if (options.follow) await Promise.race([first, Bun.sleep(firstLinesPatienceMs)]);
  else await first;
  const client = exchange.stream(streamType(tty, minor));
  try {
    for (let next = await first; !next.done; next = await lines.next()) {
      if (!(await client.write(next.value))) break;
    }
  } finally {
    await lines.return?.();
  }
  client.end();
}

function logOptions(query: URLSearchParams, signal: AbortSignal): LogOptions {
  const tail = stringOf(query, "tail") ?? "all";
  return {
    follow: booleanOf(query, "follow"),
    stdout: booleanOf(query, "stdout"),
    stderr: booleanOf(query, "stderr"),
    timestamps: booleanOf(query, "timestamps"),
    details: booleanOf(query, "details"),
    tail: /^\d{1,15}$/.test(tail) ? Number(tail) : undefined,
    sinceNs: timeOf(query, "since"),
    untilNs: timeOf(query, "until"),
    signal,
  };
}

/** Zero stands for no limit. */
function timeOf(query: URLSearchParams, name: string): bigint | undefined {
  const value = stringOf(query, name);
  if (value === undefined) return undefined;
  const ns = parseTimestamp(value, Date.now());
  return ns === 0n ? undefined : ns;
}
