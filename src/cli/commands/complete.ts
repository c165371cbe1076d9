/** What the shells' completion scripts ask: what can stand where the cursor is. One candidate a line. */
import type { ContainerSummary, ImageSummary, Network, VolumeListResponse } from "../../wire/engine-api.ts";
import type { CliContext, Command } from "../command.ts";
import { type CommandEntry, commands, groups } from "../tree.ts";
import { listContexts } from "./context-store.ts";

export const command: Command = {
  usage: "WORD...",
  short: "Complete a command line",
  args: { min: 0 },
  flags: [],
  interspersed: false,
  async run(ctx, flags) {
    // Who presses Tab has not asked for a daemon.
    process.env.BRIG_AUTOSTART = "0";
    const words = flags.args.length === 0 ? [""] : flags.args;
    const candidates = await candidatesFor(ctx, words.slice(0, -1));
    const started = words.at(-1)!;
    ctx.out(
      candidates
        .filter((word) => word.startsWith(started) && (started.startsWith("-") || !word.startsWith("-")))
        .map((word) => `${word}\n`)
        .join(""),
    );
    return 0;
  },
};

async function candidatesFor(ctx: CliContext, before: readonly string[]): Promise<string[]> {
  const [first, second] = before;
  if (first === undefined) return [...namesOf(commands), ...namesOf(groups)];
  const direct = commands.find((entry) => matches(entry, first));
  if (direct !== undefined) return argumentsOf(ctx, (await direct.load()).command, before.slice(1));
  const group = groups.find((one) => one.name === first);
  if (group === undefined) return [];
  if (second === undefined) return namesOf(group.commands);
  const nested = group.commands.find((entry) => matches(entry, second));
  return nested === undefined ? [] : argumentsOf(ctx, (await nested.load()).command, before.slice(2));
}

function matches(entry: CommandEntry, word: string): boolean {
  return entry.name === word || entry.aliases?.includes(word) === true;
}

function namesOf(entries: readonly { name: string; hidden?: boolean }[]): string[] {
  return entries.filter((entry) => entry.hidden !== true).map((entry) => entry.name);
}

async function argumentsOf(ctx: CliContext, called: Command, before: readonly string[]): Promise<string[]> {
  const flags = called.flags
    .filter((flag) => flag.hidden !== true)
    .flatMap((flag) => (flag.short === undefined ? [`--${flag.name}`] : [`--${flag.name}`, `-${flag.short}`]));
  let position = 0;
  let valueExpected = false;
  for (const word of before) {
    if (valueExpected) valueExpected = false;
    else if (word.startsWith("-")) {
      const flag = called.flags.find((one) => word === `--${one.name}` || word === `-${one.short}`);
      valueExpected = flag !== undefined && flag.type !== "bool" && flag.implied === undefined;
    } else position++;
  }
  if (valueExpected) return [];
  const names = await namesAt(ctx, called.usage, position);
  // The shell offers files itself where nothing is offered here.
  return called.interspersed === false && position > 0 ? names : [...flags, "--help", ...names];
}

/** What the usage line says of the argument at this position: `[OPTIONS] CONTAINER [CONTAINER...]`. */
async function namesAt(ctx: CliContext, usage: string, position: number): Promise<string[]> {
  const words = usage.split(" ").filter((word) => word !== "[OPTIONS]");
  const last = words.at(-1) ?? "";
  const word = words[position] ?? (last.includes("...") ? last : "");
  try {
    if (word.includes("CONTAINER")) return await containers(ctx);
    if (word.includes("IMAGE") || word.includes("REPOSITORY")) return await images(ctx);
    if (word.includes("VOLUME")) {
      const { Volumes } = await ctx.engine.json<VolumeListResponse>("GET", "/volumes");
      return (Volumes ?? []).map((volume) => volume.Name);
    }
    if (word.includes("NETWORK")) {
      return (await ctx.engine.json<Network[]>("GET", "/networks")).map((network) => network.Name ?? "");
    }
    if (word.includes("CONTEXT")) return ["default", ...listContexts(ctx.configDir).map((context) => context.Name)];
    if (word.includes("NAME|ID")) return [...(await containers(ctx)), ...(await images(ctx))];
  } catch {
    // Nobody wants an error where a name was to be completed.
  }
  return [];
}

async function containers(ctx: CliContext): Promise<string[]> {
  const all = await ctx.engine.json<ContainerSummary[]>("GET", "/containers/json", { query: { all: 1 } });
  return all.flatMap((container) => (container.Names ?? []).map((name) => name.slice(1)));
}

async function images(ctx: CliContext): Promise<string[]> {
  const all = await ctx.engine.json<ImageSummary[]>("GET", "/images/json");
  return all.flatMap((image) => (image.RepoTags ?? []).filter((name) => name !== "<none>:<none>"));
}
