/**
 * Whether and how one end reaches another, hop by hop. What Brig's own state and the kernel say is followed as a packet
 * would go; at the end the way is tried, because rules that are not Brig's are only known by that.
 */
import { closeSync } from "node:fs";
import { insideNetworkNamespace, openNetworkNamespace } from "../../kernel/namespaces.ts";
import { RTN_LOCAL } from "../../kernel/rtnetlink.ts";
import { invalidParameter, notFound } from "../../lib/errors.ts";
import type { TraceReport } from "../../wire/network-trace.ts";
import { parseAddress } from "../addresses.ts";
import { type AttemptResult, attemptConnection, attemptEcho } from "./attempt.ts";
import type { Inside, Source, TraceContext } from "./context.ts";
import { TraceLog } from "./log.ts";
import { Naming } from "./naming.ts";
import { familyOf, routeOrNone, Surroundings, type TraceTools } from "./surroundings.ts";
import { parseSource, parseTarget, withPort } from "./target.ts";
import { Way } from "./way.ts";

export type { TracedContainer } from "./surroundings.ts";

export interface TraceRequest {
  /** As parseSource() takes it. */
  from: string;
  /** As parseTarget() takes it. */
  to: string;
  /** Whether nothing is to be sent to the target. */
  passive: boolean;
}

/** Follows the way. Throws invalidParameter for what cannot be asked, notFound for a source that is no container. */
export async function traceRoute(tools: TraceTools, request: TraceRequest): Promise<TraceReport> {
  const target = parseTarget(request.to);
  const source = sourceOf(tools, parseSource(request.from));
  if (source.kind === "outside" && target.isAddress && familyOf(source.address) !== familyOf(target.host))
    throw invalidParameter(`${source.address} and ${target.host} are addresses of different families`);
  const log = new TraceLog(nameOf(source), withPort(target.host, target.port, target.protocol));
  const container = source.kind === "container" ? source.container : undefined;
  if (container !== undefined && !log.isAwake(container, "source")) return log.report();
  const fd = container?.sandbox === undefined ? undefined : openNetworkNamespace(container.pid);
  try {
    const inside: Inside = (work) => (fd === undefined ? work() : insideNetworkNamespace(fd, work));
    return await tryAll({ tools, known: new Surroundings(tools), log, source, target, inside }, request.passive);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** A client tries the addresses of a name one after another, until one answers. */
async function tryAll(context: TraceContext, passive: boolean): Promise<TraceReport> {
  const { log } = context;
  const addresses = await new Naming(context).addresses();
  const named = log.length;
  const failed: TraceReport[] = [];
  for (const address of addresses) {
    new Way(context).follow(address);
    const report = log.report(passive ? undefined : await attempt(context, address));
    if (report.Reaches === "yes") {
      const before = failed.flatMap(({ Hops }) => Hops.slice(named));
      return { ...report, Hops: [...report.Hops.slice(0, named), ...before, ...report.Hops.slice(named)] };
    }
    failed.push(report);
    log.restart(named);
  }
  return failed[0] ?? log.report();
}

/** Tries it. Undefined where that is not possible, or would prove nothing. */
async function attempt(
  { log, source, target, inside }: TraceContext,
  address: string,
): Promise<AttemptResult | undefined> {
  const { port, protocol } = target;
  if (source.kind === "outside" || log.isProofless || (port !== undefined && protocol === "udp")) return undefined;
  const result = await (port === undefined ? attemptEcho(inside, address) : attemptConnection(inside, address, port));
  const what = port === undefined ? "an echo request" : "a connection";
  const texts = { answered: `${what} was answered`, refused: `${what} was refused`, silent: `${what} had no answer` };
  const Text = typeof result === "object" ? `${what} failed: ${result.failed}` : texts[result];
  // Many hosts out there do not answer echo requests.
  const isProof = result === "answered" || port !== undefined || !log.isOutside;
  log.add({
    Kind: "attempt",
    Address: address,
    Result: result === "answered" ? "pass" : isProof ? "stop" : "unknown",
    Text,
  });
  return isProof ? result : undefined;
}

function sourceOf({ find, occupancies }: TraceTools, text: string): Source {
  if (text === "host") return { kind: "host" };
  if (parseAddress(text) === undefined) {
    const container = find(text);
    if (container === undefined) throw notFound(`No such container: ${text}`);
    return { kind: "container", container };
  }
  for (const [id, { endpoints }] of occupancies)
    for (const { attachment } of endpoints)
      if (attachment?.v4?.address === text || attachment?.v6?.address === text) {
        const container = find(id);
        if (container !== undefined) return { kind: "container", container };
      }
  return routeOrNone(text).type === RTN_LOCAL ? { kind: "host" } : { kind: "outside", address: text };
}

function nameOf(source: Source): string {
  if (source.kind === "container") return source.container.name;
  return source.kind === "host" ? "host" : source.address;
}
