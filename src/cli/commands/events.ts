import { decodeAs, marshalJson, parseExactJson } from "../../lib/template/json.ts";
import { parseTypes } from "../../lib/template/types.ts";
import { type GoType, Typed, zeroOf } from "../../lib/template/values.ts";
import { TemplateError } from "../../lib/template.ts";
import { parseTimestamp } from "../../lib/time.ts";
import { type Command, StatusError } from "../command.ts";
import { compileOrExplain, encodeFilters, filterFlag, filtersOf, localTimeText, objectFormatFlag } from "../format.ts";

const TYPES = `
events.Message: Status:status string?, ID:id string?, From:from string?, Type string, Action string, Actor events.Actor, Scope:scope string?, Time:time int?, TimeNano:timeNano int?
events.Actor: ID string, Attributes map:string
`;

export const command: Command = {
  usage: "[OPTIONS]",
  short: "Get real time events from the server",
  aliases: ["system events", "events"],
  args: { min: 0, max: 0 },
  flags: [
    filterFlag(),
    { name: "format", type: "string", usage: objectFormatFlag.usage },
    { name: "since", type: "string", usage: "Show all events created since timestamp" },
    { name: "until", type: "string", usage: "Stream events until this timestamp" },
  ],
  async run(ctx, flags) {
    const type = parseTypes(TYPES).get("events.Message")!;
    const show = printer(flags.string("format"), type);
    const response = await ctx.engine.request("GET", "/events", {
      query: {
        since: timestamp(flags.string("since")),
        until: timestamp(flags.string("until")),
        filters: encodeFilters(filtersOf(flags)),
      },
    });
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of response.body()) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.trim() !== "") ctx.out(show(line));
    }
    if (rest.trim() !== "") ctx.out(show(rest));
    return 0;
  },
};

/** How one event's JSON is printed. A template is tried on an empty event, so that its mistakes show at once. */
function printer(format: string, type: GoType): (json: string) => string {
  const decode = (json: string) => decodeAs(type, parseExactJson(json));
  if (format === "") return eventLine;
  if (format === "json") return (json) => `${marshalJson(decode(json), false)}\n`;
  const context = "Error parsing format: ";
  const template = compileOrExplain(format, context, 64);
  const pointer: GoType = { kind: "pointer", name: `*${type.name}`, elem: type };
  const execute = (event: unknown) => {
    try {
      return template.execute(new Typed(pointer, event));
    } catch (error) {
      if (error instanceof TemplateError) throw new StatusError(context + error.message, 64);
      throw error;
    }
  };
  execute(zeroOf(type));
  return (json) => `${execute(decode(json))}\n`;
}

function timestamp(text: string): string | undefined {
  if (text === "") return undefined;
  const ns = parseTimestamp(text, Date.now());
  return `${ns / 1_000_000_000n}.${String(ns % 1_000_000_000n).padStart(9, "0")}`;
}

interface Event {
  Type: string;
  Action: string;
  Actor: { ID: string; Attributes?: Record<string, string> };
  time?: number;
  timeNano?: number | bigint;
}

function eventLine(json: string): string {
  const event = parseExactJson(json) as Event;
  const time = event.timeNano === undefined ? "" : `${nanoTime(BigInt(event.timeNano))} `;
  const attributes = Object.entries(event.Actor.Attributes ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`);
  const shown = attributes.length === 0 ? "" : ` (${attributes.join(", ")})`;
  return `${time}${event.Type} ${event.Action} ${event.Actor.ID}${shown}\n`;
}

/** The user's local time as RFC 3339, always with nine digits behind the second. */
function nanoTime(ns: bigint): string {
  const [day, time, offset = "+0000"] = localTimeText(Number(ns / 1_000_000n)).split(" ");
  const fraction = String(ns % 1_000_000_000n).padStart(9, "0");
  return `${day}T${time}.${fraction}${offset === "+0000" ? "Z" : `${offset.slice(0, 3)}:${offset.slice(3)}`}`;
}
