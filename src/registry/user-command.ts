/** `brig registry user`: accounts of a registry, also while it serves. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { FlagError, type FlagSpec, type ParsedFlags } from "../lib/flags.ts";
import { StateDatabase } from "../state/database.ts";
import { Accounts, type Level, levels } from "./access/accounts.ts";
import { loadConfig, serveFlags } from "./config.ts";
import { registrySchema } from "./schema.ts";

const shown = ["config", "root"];
export const userFlags: FlagSpec[] = [
  ...serveFlags.map((flag) => ({ ...flag, hidden: !shown.includes(flag.name) })),
  { name: "admin", type: "bool", usage: "add: may do everything" },
  { name: "password-stdin", type: "bool", usage: "add, passwd: take the password from stdin" },
];

export const userUsage = `[OPTIONS] add|passwd|rm NAME
        brig registry user [OPTIONS] ls
        brig registry user [OPTIONS] grant NAME|'*' REPOSITORY|'TEAM/*'|'*' read|write|admin
        brig registry user [OPTIONS] revoke NAME|'*' REPOSITORY|'TEAM/*'|'*'`;

/** Throws FlagError for what is no command, and an Error for what cannot be done. */
export async function manageUsers(flags: ParsedFlags): Promise<number> {
  const [verb = "", name = "", pattern = "", level = ""] = flags.args;
  const counts: Record<string, number> = { add: 2, passwd: 2, rm: 2, ls: 1, grant: 4, revoke: 3 };
  if (!Object.hasOwn(counts, verb) || flags.args.length !== counts[verb])
    throw new FlagError(`'brig registry user ${verb}' is not used like that`);
  const { root } = loadConfig(flags);
  const path = join(root, "registry.db");
  if (!existsSync(path)) throw new Error(`${root} is no registry's directory: start the registry first`);
  const db = new StateDatabase(path, registrySchema);
  try {
    const accounts = new Accounts(db);
    switch (verb) {
      case "add":
        await accounts.add(name, await password(flags), flags.bool("admin"));
        break;
      case "passwd":
        await accounts.setPassword(name, await password(flags));
        break;
      case "rm":
        accounts.remove(name);
        break;
      case "grant":
        if (!levels.includes(level as Level)) throw new FlagError(`invalid level ${level}: read, write or admin`);
        accounts.grant(name, { pattern, level: level as Level });
        break;
      case "revoke":
        accounts.revoke(name, pattern);
        break;
      default:
        print(accounts);
    }
    return 0;
  } finally {
    db.close();
  }
}

function print(accounts: Accounts): void {
  const users = accounts.list();
  const width = Math.max(6, ...users.map(({ name }) => name.length + 2));
  console.log(`${"USER".padEnd(width)}RIGHTS`);
  for (const { name, isAdmin, grants } of users) {
    const rights = isAdmin ? ["everything"] : grants.map(({ pattern, level }) => `${pattern}:${level}`);
    console.log(`${name.padEnd(width)}${rights.join(" ") || "none"}`);
  }
}

async function password(flags: ParsedFlags): Promise<string> {
  if (!flags.bool("password-stdin")) throw new FlagError("give the password on stdin, with --password-stdin");
  return (await new Response(Bun.stdin.stream()).text()).replace(/[\r\n]+$/, "");
}
