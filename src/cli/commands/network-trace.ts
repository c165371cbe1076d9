import type { TraceReport } from "../../wire/network-trace.ts";
import type { CliContext, Command } from "../command.ts";
import { executeOrExplain, objectFormatFlag, parseFormat } from "../format.ts";
import { fetchJson } from "../inspect.ts";

const exitCodes = { yes: 0, no: 1, unknown: 2 };
const marks = { pass: "✓", stop: "✗", unknown: "•" };
const colours = { pass: 32, stop: 31, unknown: 33 };

export const command: Command = {
  usage: "[OPTIONS] FROM TO[:PORT[/udp]]",
  short: "Show whether and how a container, the host or an address reaches another, hop by hop",
  long: `Show whether and how a container, the host or an address reaches another, hop by hop

FROM is a container, the word "host", or an address outside; TO is a container, a
name as FROM would look it up, or an address. Exits with 0 where TO is reached,
with 1 where it is not, and with 2 where that depends on others than Brig.`,
  args: { min: 2, max: 2 },
  flags: [
    objectFormatFlag,
    { name: "passive", type: "bool", usage: "Send nothing to TO: do not try the way that was found" },
  ],
  async run(ctx, flags) {
    const [from = "", to = ""] = flags.args;
    const format = flags.string("format");
    const template = format === "" ? undefined : parseFormat(format);
    const passive = flags.bool("passive") ? "true" : undefined;
    const report = JSON.parse(await fetchJson(ctx, "/networks/trace", { from, to, passive })) as TraceReport;
    ctx.out(
      template === undefined
        ? textOf(ctx, report)
        : `${executeOrExplain(template, report, "template parsing error: ")}\n`,
    );
    return exitCodes[report.Reaches];
  },
};

function textOf(ctx: CliContext, { Hops, Verdict, Next }: TraceReport): string {
  const isColoured = ctx.isTerminal("stdout") && !process.env.NO_COLOR;
  const lines = Hops.map(({ Result, Text }) => {
    const mark = isColoured ? `\x1b[${colours[Result]}m${marks[Result]}\x1b[0m` : marks[Result];
    return `${mark} ${Text}`;
  });
  return `${lines.join("\n")}\n${Verdict}${Next === "" ? "" : `. Next: ${Next}`}\n`;
}
