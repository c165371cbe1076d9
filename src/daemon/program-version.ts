/** The versions of the programs that Brig runs, asked once. */
import { basename } from "node:path";

export interface ProgramVersion {
  /** The program's own name, or that of its file. */
  name: string;
  /** Both empty where the program is missing or does not tell. */
  version: string;
  commit: string;
}

const known = new Map<string, Promise<ProgramVersion>>();

/** What `path --version` says. Never throws: a program that cannot be run has no version. */
export function programVersion(path: string): Promise<ProgramVersion> {
  let version = known.get(path);
  if (version === undefined) {
    version = ask(path);
    known.set(path, version);
  }
  return version;
}

async function ask(path: string): Promise<ProgramVersion> {
  try {
    const program = Bun.spawn([path, "--version"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
      timeout: 5_000,
    });
    return parseProgramVersion(basename(path), await program.stdout.text());
  } catch {
    // It may be installed later.
    known.delete(path);
    return { name: basename(path), version: "", commit: "" };
  }
}

/** Reads `crun version 1.8.1` and `commit: abc`, the way crun, runc and conmon all put it. */
export function parseProgramVersion(otherwise: string, text: string): ProgramVersion {
  const [, name, version] = /^(\S+) version (\S+)/m.exec(text) ?? [];
  const commit = /^commit: (\S+)/m.exec(text)?.[1] ?? "";
  return { name: name ?? otherwise, version: version ?? "", commit: commit === "unknown" ? "" : commit };
}
