import { demultiplex } from "../../client/demux.ts";
import { containerPath } from "../../client/paths.ts";
import { parseTimestamp } from "../../lib/time.ts";
import type { ContainerInspectResponse } from "../../wire/engine-api.ts";
import type { Command } from "../command.ts";
import { Output } from "../streams.ts";

export const command: Command = {
  usage: "[OPTIONS] CONTAINER",
  short: "Fetch the logs of a container",
  aliases: ["container logs", "logs"],
  args: { min: 1, max: 1 },
  flags: [
    { name: "details", type: "bool", usage: "Show extra details provided to logs" },
    { name: "follow", short: "f", type: "bool", usage: "Follow log output" },
    {
      name: "since",
      type: "string",
      usage: 'Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
    },
    {
      name: "tail",
      short: "n",
      type: "string",
      default: "all",
      usage: "Number of lines to show from the end of the logs",
    },
    { name: "timestamps", short: "t", type: "bool", usage: "Show timestamps" },
    {
      name: "until",
      type: "string",
      usage: 'Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
    },
  ],
  async run(ctx, flags) {
    const name = flags.args[0]!;
    const response = await ctx.engine.request("GET", containerPath(name, "/logs"), {
      query: {
        stdout: true,
        stderr: true,
        since: apiTime(flags.string("since"), "since"),
        until: apiTime(flags.string("until"), "until"),
        tail: flags.string("tail"),
        timestamps: flags.bool("timestamps") || undefined,
        follow: flags.bool("follow") || undefined,
        details: flags.bool("details") || undefined,
      },
    });
    const kind = response.header("content-type") ?? "";
    let isRaw = kind.endsWith("raw-stream");
    if (!isRaw && !kind.endsWith("multiplexed-stream")) {
      // Engines before 1.42 do not say which of the two it is.
      const path = containerPath(name, "/json");
      isRaw = (await ctx.engine.json<ContainerInspectResponse>("GET", path)).Config?.Tty === true;
    }
    const stdout = new Output(1);
    if (isRaw) {
      for await (const bytes of response.body()) await stdout.write(bytes);
      return 0;
    }
    const stderr = new Output(2);
    for await (const { stream, bytes } of demultiplex(response.body())) {
      await (stream === 1 ? stdout : stderr).write(bytes);
    }
    return 0;
  },
};

/** Relative times count from this machine's clock, so they are made absolute here. */
function apiTime(text: string, flag: string): string {
  if (text === "") return "";
  try {
    const ns = parseTimestamp(text, Date.now());
    const seconds = ns / 1_000_000_000n;
    return `${seconds}.${(ns % 1_000_000_000n).toString().padStart(9, "0")}`;
  } catch (error) {
    throw new Error(`invalid value for "${flag}": ${(error as Error).message}`);
  }
}
