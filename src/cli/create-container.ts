/** What run and create have in common: the create request, the image that may have to be pulled for it, the id file. */
import { EngineError } from "../client/client.ts";
import type { ParsedFlags } from "../lib/flags.ts";
import type { ContainerCreateResponse } from "../wire/engine-api.ts";
import type { CliContext } from "./command.ts";
import type { CreateBody } from "./container-options.ts";
import { openFailure } from "./key-values.ts";
import { parsePlatform } from "./option-values.ts";

const pullPolicies = ["always", "missing", "never"];
/** Names that are good for sure, so that the grammar of all names need not be loaded for them. */
const plainImage = /^(?![\da-f]{64}$)[a-z0-9]+(?:[._-][a-z0-9]+)*(?::\w[\w.-]{0,127})?$/;
/** An id in full, which is no name. */
const wholeId = /^(?:sha256:)?[\da-f]{64}$/;

/** Throws where `--pull` is none of what it may be. */
export function checkPullPolicy(policy: string): void {
  if (!pullPolicies.includes(policy)) {
    throw new Error(`invalid pull option: '${policy}': must be one of "always", "missing" or "never"`);
  }
}

/** Throws where a flag was given that only an engine on Windows knows. */
export function checkWindowsFlags(flags: ParsedFlags): void {
  const given = ["cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops"].filter((name) => flags.has(name));
  if (given.length === 0) return;
  const where = "is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux";
  throw new Error(given.map((name) => `"--${name}" ${where}`).join("\n"));
}

/** Creates the container, pulling its image where that is missing, and returns its id. Warnings go to stderr. */
export async function createContainer(ctx: CliContext, flags: ParsedFlags, body: CreateBody): Promise<string> {
  const idFile = body.HostConfig.ContainerIDFile ? await IdFile.open(body.HostConfig.ContainerIDFile) : undefined;
  try {
    const image = body.Image ?? "";
    if (!plainImage.test(image) && !wholeId.test(image)) (await import("../lib/reference.ts")).parseReference(image);
    const platform = flags.string("platform") === "" ? undefined : parsePlatform(flags.string("platform"));
    if (flags.string("pull") === "always") await pull(ctx, image, platform, flags.bool("quiet"));
    const created = await post(ctx, flags, body, platform);
    for (const warning of created.Warnings ?? []) ctx.err(`WARNING: ${warning}\n`);
    await idFile?.write(created.Id);
    return created.Id;
  } catch (error) {
    await idFile?.discard();
    throw error;
  }
}

async function post(
  ctx: CliContext,
  flags: ParsedFlags,
  body: CreateBody,
  platform: string | undefined,
): Promise<ContainerCreateResponse> {
  const request = () =>
    ctx.engine.json<ContainerCreateResponse>("POST", "/containers/create", {
      query: { name: flags.string("name"), platform },
      json: body,
    });
  try {
    return await request();
  } catch (error) {
    const isMissing = error instanceof EngineError && error.status === 404;
    if (!isMissing || flags.string("pull") !== "missing" || wholeId.test(body.Image ?? "")) throw error;
    const quiet = flags.bool("quiet");
    if (!quiet) ctx.err(`Unable to find image '${await familiarName(body.Image ?? "")}' locally\n`);
    await pull(ctx, body.Image ?? "", platform, quiet);
    return request();
  }
}

async function familiarName(image: string): Promise<string> {
  const { parseReference } = await import("../lib/reference.ts");
  const { familiarName: name, tag, digest } = parseReference(image);
  if (digest !== undefined) return `${name}${tag === undefined ? "" : `:${tag}`}@${digest}`;
  return `${name}:${tag ?? "latest"}`;
}

async function pull(ctx: CliContext, image: string, platform: string | undefined, quiet: boolean): Promise<void> {
  const [{ pullImage }, { parseReference }] = await Promise.all([
    import("./commands/pull.ts"),
    import("../lib/reference.ts"),
  ]);
  const reference = parseReference(image);
  const tag = reference.digest ?? reference.tag ?? "latest";
  const write = quiet ? () => undefined : (text: string) => ctx.err(text);
  await pullImage(ctx, reference, { tag, platform }, write, ctx.isTerminal("stderr"));
}

/** The file of `--cidfile`: made before the container is, so that two commands never share one. */
class IdFile {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  static async open(path: string): Promise<IdFile> {
    const { closeSync, openSync } = await import("node:fs");
    try {
      closeSync(openSync(path, "wx", 0o666));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EEXIST") {
        throw new Error(`container ID file found, make sure the other container isn't running or delete ${path}`);
      }
      throw new Error(`failed to create the container ID file: ${openFailure(path, code)}`);
    }
    return new IdFile(path);
  }

  async write(id: string): Promise<void> {
    const { writeFileSync } = await import("node:fs");
    writeFileSync(this.#path, id);
  }

  async discard(): Promise<void> {
    const { rmSync } = await import("node:fs");
    rmSync(this.#path, { force: true });
  }
}
