/** GET /events */
import type { Events } from "../events/events.ts";
import { invalidParameter } from "../lib/errors.ts";
import { nowNs, parseTimestamp } from "../lib/time.ts";
import type { EventMessage } from "../wire/engine-api.ts";
import { downgradeEvent } from "./compatibility.ts";
import type { Exchange } from "./exchange.ts";
import { filtersOf, stringOf } from "./query.ts";

/** A listener that is so far behind is cut off, before it costs the daemon its memory. */
const pendingLimitBytes = 16 * 1024 * 1024;
/** The longest time that a timer of JavaScript can wait. */
const maxTimerMs = 2 ** 31 - 1;
const recordSeparator = "\x1e";

/** Answers with the events asked for, until `until`, or until the client goes. */
export async function sendEvents(events: Events, exchange: Exchange): Promise<void> {
  const { query, minor } = exchange;
  const since = stringOf(query, "since");
  const until = stringOf(query, "until");
  const sinceNs = since === undefined ? undefined : parseTimestamp(since, Date.now());
  const untilNs = until === undefined ? undefined : parseTimestamp(until, Date.now());
  if (sinceNs !== undefined && untilNs !== undefined && sinceNs > untilNs)
    throw invalidParameter(`\`since\` time (${since}) cannot be after \`until\` time (${until})`);
  const filters = filtersOf(query);

  const contentType = eventsType(exchange.request.headers.accept ?? "", minor);
  const prefix = contentType.endsWith("json-seq") ? recordSeparator : "";
  const client = exchange.stream(contentType);
  const stop = events.subscribe({ sinceNs, untilNs, filters }, (event: EventMessage) => {
    void client.write(`${prefix}${JSON.stringify(downgradeEvent(event, minor))}\n`);
    if (client.pendingBytes > pendingLimitBytes) client.destroy();
  });
  await untilGone(client.gone, untilNs);
  stop();
  client.end();
}

function untilGone(gone: AbortSignal, untilNs: bigint | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (gone.aborted) return resolve();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const watch = () => {
      if (untilNs === undefined) return;
      const leftMs = Number((untilNs - nowNs()) / 1_000_000n);
      if (leftMs < 0) resolve();
      else timer = setTimeout(watch, Math.min(leftMs + 1, maxTimerMs));
    };
    gone.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
    watch();
  });
}

/** From 1.52 on clients choose among three; before, it was called JSON. */
function eventsType(accept: string, minor: number): string {
  if (minor < 52) return "application/json";
  const offered = ["application/jsonl", "application/x-ndjson", "application/json-seq"];
  const accepted = accept.split(",").map((part) => part.split(";")[0]!.trim().toLowerCase());
  return offered.find((type) => accepted.includes(type)) ?? "application/jsonl";
}
