import { openSync, writeSync } from "node:fs";
import { tarEnd, tarHeader, tarPadding } from "../../lib/tar-writer.ts";
import { type Command, StatusError } from "../command.ts";
import { findContext, readTls } from "./context-store.ts";

export const command: Command = {
  usage: "[OPTIONS] CONTEXT [FILE|-]",
  short: "Export a context to a tar archive FILE or a tar stream on STDOUT.",
  args: { min: 1, max: 2 },
  flags: [],
  async run(ctx, flags) {
    const [name = "", target = `${name}.dockercontext`] = flags.args;
    if (target === "-" && ctx.isTerminal("stdout")) {
      throw new StatusError("cowardly refusing to export to a terminal, specify a file path", 1);
    }
    const meta = Buffer.from(JSON.stringify(findContext(ctx.configDir, name)));
    const parts = [
      tarHeader({ name: "meta.json", type: "file", mode: 0o644, size: meta.length }),
      meta,
      tarPadding(meta.length),
    ];
    parts.push(tarHeader({ name: "tls", type: "directory", mode: 0o700 }));
    const files = Object.entries(readTls(ctx.configDir, name));
    if (files.length > 0) parts.push(tarHeader({ name: "tls/docker", type: "directory", mode: 0o700 }));
    for (const [file, bytes] of files) {
      parts.push(tarHeader({ name: `tls/docker/${file}`, type: "file", mode: 0o600, size: bytes.length }), bytes);
      parts.push(tarPadding(bytes.length));
    }
    const archive = Buffer.concat([...parts, tarEnd()]);
    if (target === "-") {
      ctx.out(archive);
      return 0;
    }
    writeSync(createFile(target), archive);
    ctx.out(`Written file "${target}"\n`);
    return 0;
  },
};

/** The archive may hold a key: only its owner may read it, and nothing that exists is overwritten. */
function createFile(path: string): number {
  try {
    return openSync(path, "wx", 0o600);
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code === "EEXIST";
    throw new StatusError(exists ? `open ${path}: file exists` : (error as Error).message, 1);
  }
}
