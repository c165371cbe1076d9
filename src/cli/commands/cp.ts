import { closeSync, openSync } from "node:fs";
import { posix } from "node:path";
import { EngineError } from "../../client/client.ts";
import { containerPath } from "../../client/paths.ts";
import { bytesOf } from "../../kernel/at.ts";
import { O_DIRECTORY, O_PATH } from "../../kernel/files.ts";
import { type TarEntry, TarReader, type TarSink } from "../../lib/tar.ts";
import { Extractor } from "../../trees/extract.ts";
import { membersOfPath, packTar } from "../../trees/pack.ts";
import type { ContainerPathStat } from "../../wire/engine-api.ts";
import type { CliContext, Command } from "../command.ts";
import {
  absolutePath,
  type CopyEnd,
  checkLocalDestination,
  type Destination,
  destinationOf,
  followed,
  localDestination,
  localSource,
  splitPath,
} from "../copy-paths.ts";
import { CopyProgress } from "../copy-progress.ts";

export const command: Command = {
  usage: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tdocker cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
  short: "Copy files/folders between a container and the local filesystem",
  long: `Copy files/folders between a container and the local filesystem

Use '-' as the source to read a tar archive from stdin
and extract it to a directory destination in a container.
Use '-' as the destination to stream a tar archive of a
container source to stdout.`,
  aliases: ["container cp", "cp"],
  args: { min: 2, max: 2 },
  flags: [
    { name: "archive", short: "a", type: "bool", usage: "Archive mode (copy all uid/gid information)" },
    { name: "follow-link", short: "L", type: "bool", usage: "Always follow symbol link in SRC_PATH" },
    {
      name: "quiet",
      short: "q",
      type: "bool",
      usage:
        "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached",
    },
  ],
  async run(ctx, flags) {
    const [source = "", destination = ""] = flags.args;
    if (source === "") throw new Error("source can not be empty");
    if (destination === "") throw new Error("destination can not be empty");
    const from = splitArgument(source);
    const to = splitArgument(destination);
    const isQuiet = flags.has("quiet") ? flags.bool("quiet") : !ctx.isTerminal("stdout");
    const options = { followLink: flags.bool("follow-link"), copyUIDGID: flags.bool("archive"), isQuiet };
    if (from.container !== "" && to.container !== "") throw new Error("copying between containers is not supported");
    if (from.container !== "") await copyOut(ctx, from, to.path, options);
    else if (to.container !== "") await copyIn(ctx, from.path, to, options);
    else throw new Error("must specify at least one container source");
    return 0;
  },
};

interface CopyOptions {
  followLink: boolean;
  copyUIDGID: boolean;
  isQuiet: boolean;
}

/** A path in a container, or, where that is empty, here. */
interface Place {
  container: string;
  path: string;
}

/** `CONTAINER:PATH`; what begins with a slash or a dot is a path here, whatever colons it has. */
function splitArgument(text: string): Place {
  const colon = text.indexOf(":");
  if (text.startsWith("/") || text.startsWith(".") || colon < 0) return { container: "", path: text };
  return { container: text.slice(0, colon), path: text.slice(colon + 1) };
}

const archiveOf = (container: string) => containerPath(container, "/archive");

/** What is at a path of a container; undefined where the engine cannot say. */
async function statOf(ctx: CliContext, { container, path }: Place): Promise<ContainerPathStat | undefined> {
  try {
    const answer = await ctx.engine.request("HEAD", archiveOf(container), { query: { path } });
    await answer.text();
    return readStat(answer.header("X-Docker-Container-Path-Stat"));
  } catch (error) {
    if (error instanceof EngineError) return undefined;
    throw error;
  }
}

function readStat(header: string | undefined): ContainerPathStat {
  try {
    return JSON.parse(Buffer.from(header ?? "", "base64").toString("utf8")) as ContainerPathStat;
  } catch {
    throw new Error("unable to decode container path stat header");
  }
}

// Go's os.FileMode.
const isLink = ({ mode }: ContainerPathStat) => (mode & (1 << 27)) !== 0;
const isDirectory = ({ mode }: ContainerPathStat) => mode >= 0x8000_0000;
const isDevice = ({ mode }: ContainerPathStat) => (mode & (1 << 26)) !== 0;

/** What the link at `path` leads to, from the root of the container. */
const targetOf = (path: string, { linkTarget }: ContainerPathStat) =>
  linkTarget.startsWith("/") ? linkTarget : posix.join(splitPath(path)[0], linkTarget);

async function copyOut(ctx: CliContext, from: Place, to: string, options: CopyOptions): Promise<void> {
  const local = to === "-" ? "-" : absolutePath(to);
  checkLocalDestination(local);
  let source = { path: from.path, rebaseName: "" };
  if (options.followLink) {
    const stat = await statOf(ctx, from);
    if (stat !== undefined && isLink(stat)) source = followed(from.path, targetOf(from.path, stat));
  }
  const answer = await ctx.engine.request("GET", archiveOf(from.container), { query: { path: source.path } });
  if (local === "-") {
    for await (const chunk of answer.body()) ctx.out(chunk);
    return;
  }
  const stat = readStat(answer.header("X-Docker-Container-Path-Stat"));
  const end: CopyEnd = { ...source, exists: true, isDirectory: isDirectory(stat) };
  const progress = new CopyProgress(ctx, options.isQuiet, "Copying from container - ");
  try {
    await extract(progress.watch(answer.body()), end, localDestination(local));
  } finally {
    answer.discard();
    progress.finish(local);
  }
}

async function extract(archive: AsyncIterable<Uint8Array>, source: CopyEnd, target: CopyEnd): Promise<void> {
  const destination = destinationOf(source, target);
  const dirFd = openSync(destination.directory, O_PATH | O_DIRECTORY);
  const extractor = new Extractor({ dirFd, path: destination.directory, replacesDirectories: false, owner: "self" });
  try {
    const reader = new TarReader(renaming(extractor, source, destination), { names: "latin1" });
    for await (const chunk of archive) reader.push(chunk);
    reader.finish();
    extractor.finish();
  } finally {
    extractor.dispose();
    closeSync(dirFd);
  }
}

/** Has what is copied come to `sink` under the name it is to have. */
function renaming(sink: TarSink, { path, rebaseName }: CopyEnd, { name }: Destination): TarSink {
  const own = splitPath(path)[1];
  const wanted = name ?? rebaseName;
  if (wanted === "" || wanted === own) return sink;
  const old = own === "/" ? "" : bytesOf(own);
  const renamed = (text: string) =>
    text === old || text.startsWith(`${old}/`) ? bytesOf(wanted) + text.slice(old.length) : text;
  return {
    entry: (entry: TarEntry) =>
      sink.entry({
        ...entry,
        name: renamed(entry.name),
        linkName: entry.type === "link" ? renamed(entry.linkName) : entry.linkName,
      }),
    data: (chunk, offset) => sink.data(chunk, offset),
    end: () => sink.end(),
  };
}

async function copyIn(ctx: CliContext, from: string, to: Place, options: CopyOptions): Promise<void> {
  const local = from === "-" ? "-" : absolutePath(from);
  const target = await destinationIn(ctx, to);
  let directory = target.path;
  let body: AsyncIterable<Uint8Array>;
  if (local === "-") {
    if (!target.isDirectory) throw new Error(`destination "${to.container}:${to.path}" must be a directory`);
    body = Bun.stdin.stream() as unknown as AsyncIterable<Uint8Array>;
  } else {
    const source = localSource(local, options.followLink);
    const destination = destinationOf(source, target);
    directory = destination.directory;
    body = archive(source, destination.name ?? (source.rebaseName || splitPath(source.path)[1]));
  }
  const progress = new CopyProgress(ctx, options.isQuiet, "Copying to container - ");
  try {
    await ctx.engine.call("PUT", archiveOf(to.container), {
      query: { path: directory, noOverwriteDirNonDir: true, copyUIDGID: options.copyUIDGID || undefined },
      headers: { "Content-Type": "application/x-tar" },
      body: local === "-" ? body : progress.watch(body),
    });
  } finally {
    progress.finish(`${to.container}:${target.path}`);
  }
}

/** A path of a container that is to be copied to: what a symbolic link leads to. */
async function destinationIn(ctx: CliContext, to: Place): Promise<CopyEnd> {
  const end: CopyEnd = { path: to.path, exists: false, isDirectory: false, rebaseName: "" };
  let stat = await statOf(ctx, to);
  if (stat !== undefined && isLink(stat)) {
    end.path = targetOf(to.path, stat);
    stat = await statOf(ctx, { ...to, path: end.path });
  }
  if (stat === undefined) return end;
  if (isDevice(stat))
    throw new Error(`destination "${to.container}:${to.path}" must be a directory or a regular file: got a device`);
  return { ...end, exists: true, isDirectory: isDirectory(stat) };
}

async function* archive(source: CopyEnd, name: string): AsyncGenerator<Uint8Array> {
  const [parent, base] = splitPath(source.path);
  const dirFd = openSync(source.isDirectory ? source.path : parent, O_PATH | O_DIRECTORY);
  try {
    const as = bytesOf(name);
    yield* packTar(membersOfPath(source.isDirectory ? { dirFd, as } : { dirFd, as, name: bytesOf(base) }), {
      wholeSeconds: true,
    });
  } finally {
    closeSync(dirFd);
  }
}
