/**
 * All commands: one line each. Modules are loaded when their command is called, so that no command pays for another;
 * only help of a group loads every command of it.
 */
import type { Command } from "./command.ts";
import { experimentalNote } from "./help.ts";

/** A command at its place. */
export interface CommandEntry {
  name: string;
  /** Other names at the same place: `rm` is also `remove`. */
  aliases?: string[];
  /** Where the program's own help shows it. */
  section?: "common";
  /** Works, but is not shown by help. */
  hidden?: boolean;
  /** Brig has it and Docker has not: help shows it, but not where the program is called docker. */
  own?: boolean;
  load: () => Promise<{ command: Command }>;
}

/** Commands below one word: `container …`. */
export interface CommandGroup {
  name: string;
  short: string;
  /** What its help says in place of `short`; `path` is how it was called, with the program. */
  long?: (path: string) => string;
  hidden?: boolean;
  /** Section of the program's help: management commands unless said otherwise. */
  commands: CommandEntry[];
}

const run: CommandEntry = { name: "run", load: () => import("./commands/run.ts") };
const create: CommandEntry = { name: "create", load: () => import("./commands/create.ts") };
const start: CommandEntry = { name: "start", load: () => import("./commands/start.ts") };
const stop: CommandEntry = { name: "stop", load: () => import("./commands/stop.ts") };
const restart: CommandEntry = { name: "restart", load: () => import("./commands/restart.ts") };
const kill: CommandEntry = { name: "kill", load: () => import("./commands/kill.ts") };
const pause: CommandEntry = { name: "pause", load: () => import("./commands/pause.ts") };
const unpause: CommandEntry = { name: "unpause", load: () => import("./commands/unpause.ts") };
const rm: CommandEntry = { name: "rm", load: () => import("./commands/rm.ts") };
const rename: CommandEntry = { name: "rename", load: () => import("./commands/rename.ts") };
const wait: CommandEntry = { name: "wait", load: () => import("./commands/wait.ts") };
const attach: CommandEntry = { name: "attach", load: () => import("./commands/attach.ts") };
const exec: CommandEntry = { name: "exec", load: () => import("./commands/exec.ts") };
const logs: CommandEntry = { name: "logs", load: () => import("./commands/logs.ts") };
const commit: CommandEntry = { name: "commit", load: () => import("./commands/commit.ts") };
const cp: CommandEntry = { name: "cp", load: () => import("./commands/cp.ts") };
const diff: CommandEntry = { name: "diff", load: () => import("./commands/diff.ts") };
const exportFiles: CommandEntry = { name: "export", load: () => import("./commands/export.ts") };
const update: CommandEntry = { name: "update", load: () => import("./commands/update.ts") };

const ps: CommandEntry = { name: "ps", load: () => import("./commands/ps.ts") };
const port: CommandEntry = { name: "port", load: () => import("./commands/port.ts") };
const top: CommandEntry = { name: "top", load: () => import("./commands/top.ts") };
const stats: CommandEntry = { name: "stats", load: () => import("./commands/stats.ts") };
const images: CommandEntry = { name: "images", load: () => import("./commands/images.ts") };
const history: CommandEntry = { name: "history", load: () => import("./commands/history.ts") };
const importImage: CommandEntry = { name: "import", load: () => import("./commands/import.ts") };
const load: CommandEntry = { name: "load", load: () => import("./commands/load.ts") };
const pull: CommandEntry = { name: "pull", load: () => import("./commands/pull.ts") };
const push: CommandEntry = { name: "push", load: () => import("./commands/push.ts") };
const rmi: CommandEntry = { name: "rmi", load: () => import("./commands/rmi.ts") };
const save: CommandEntry = { name: "save", load: () => import("./commands/save.ts") };
const tag: CommandEntry = { name: "tag", load: () => import("./commands/tag.ts") };
const info: CommandEntry = { name: "info", load: () => import("./commands/info.ts") };
const events: CommandEntry = { name: "events", load: () => import("./commands/events.ts") };

/** What stands directly after the program. Help sorts by name; the common ones keep the order of this list. */
export const commands: CommandEntry[] = [
  { ...run, section: "common" },
  { ...exec, section: "common" },
  { ...ps, section: "common" },
  { ...pull, section: "common" },
  { ...push, section: "common" },
  { ...images, section: "common" },
  { name: "login", section: "common", load: () => import("./commands/login.ts") },
  { name: "logout", section: "common", load: () => import("./commands/logout.ts") },
  { name: "search", section: "common", load: () => import("./commands/search.ts") },
  { name: "version", section: "common", load: () => import("./commands/version.ts") },
  { ...info, section: "common" },
  attach,
  commit,
  cp,
  create,
  diff,
  exportFiles,
  kill,
  logs,
  pause,
  rename,
  restart,
  rm,
  start,
  stop,
  unpause,
  update,
  wait,
  events,
  history,
  importImage,
  { name: "inspect", load: () => import("./commands/inspect.ts") },
  load,
  port,
  rmi,
  save,
  stats,
  tag,
  top,
  { name: "__complete", hidden: true, load: () => import("./commands/complete.ts") },
];

/** Groups. */
export const groups: CommandGroup[] = [
  {
    name: "manifest",
    short: "Manage Docker image manifests and manifest lists",
    long: manifestHelp,
    commands: [
      { name: "annotate", load: () => import("./commands/manifest-annotate.ts") },
      { name: "create", load: () => import("./commands/manifest-create.ts") },
      { name: "inspect", load: () => import("./commands/manifest-inspect.ts") },
      { name: "push", load: () => import("./commands/manifest-push.ts") },
      { name: "rm", load: () => import("./commands/manifest-rm.ts") },
    ],
  },
  {
    name: "container",
    short: "Manage containers",
    commands: [
      attach,
      commit,
      cp,
      create,
      diff,
      exec,
      exportFiles,
      kill,
      logs,
      pause,
      rename,
      restart,
      { ...rm, aliases: ["remove"] },
      run,
      start,
      stop,
      unpause,
      update,
      wait,
      { name: "inspect", load: () => import("./commands/container-inspect.ts") },
      { ...ps, name: "ls", aliases: ["list", "ps"] },
      port,
      { name: "prune", load: () => import("./commands/container-prune.ts") },
      stats,
      top,
    ],
  },
  {
    name: "system",
    short: "Manage Brig",
    commands: [
      { name: "dial-stdio", hidden: true, load: () => import("./commands/system-dial-stdio.ts") },
      { name: "df", load: () => import("./commands/system-df.ts") },
      events,
      info,
      { name: "prune", load: () => import("./commands/system-prune.ts") },
      { name: "reset-network", own: true, load: () => import("./commands/system-reset-network.ts") },
    ],
  },
  {
    name: "image",
    short: "Manage images",
    commands: [
      history,
      importImage,
      { name: "inspect", load: () => import("./commands/image-inspect.ts") },
      load,
      { ...images, name: "ls", aliases: ["list"] },
      { name: "prune", load: () => import("./commands/image-prune.ts") },
      pull,
      push,
      { ...rmi, name: "rm", aliases: ["remove"] },
      save,
      tag,
    ],
  },
  {
    name: "volume",
    short: "Manage volumes",
    commands: [
      { name: "create", load: () => import("./commands/volume-create.ts") },
      { name: "inspect", load: () => import("./commands/volume-inspect.ts") },
      { name: "ls", aliases: ["list"], load: () => import("./commands/volume-ls.ts") },
      { name: "prune", load: () => import("./commands/volume-prune.ts") },
      { name: "rm", aliases: ["remove"], load: () => import("./commands/volume-rm.ts") },
      { name: "update", hidden: true, load: () => import("./commands/volume-update.ts") },
    ],
  },
  {
    name: "network",
    short: "Manage networks",
    commands: [
      { name: "connect", load: () => import("./commands/network-connect.ts") },
      { name: "create", load: () => import("./commands/network-create.ts") },
      { name: "disconnect", load: () => import("./commands/network-disconnect.ts") },
      { name: "inspect", load: () => import("./commands/network-inspect.ts") },
      { name: "ls", aliases: ["list"], load: () => import("./commands/network-ls.ts") },
      { name: "prune", load: () => import("./commands/network-prune.ts") },
      { name: "rm", aliases: ["remove"], load: () => import("./commands/network-rm.ts") },
      { name: "trace", own: true, load: () => import("./commands/network-trace.ts") },
    ],
  },
  {
    name: "context",
    short: "Manage contexts",
    commands: [
      { name: "create", load: () => import("./commands/context-create.ts") },
      { name: "export", load: () => import("./commands/context-export.ts") },
      { name: "import", load: () => import("./commands/context-import.ts") },
      { name: "inspect", load: () => import("./commands/context-inspect.ts") },
      { name: "ls", aliases: ["list"], load: () => import("./commands/context-ls.ts") },
      { name: "rm", aliases: ["remove"], load: () => import("./commands/context-rm.ts") },
      { name: "show", load: () => import("./commands/context-show.ts") },
      { name: "update", load: () => import("./commands/context-update.ts") },
      { name: "use", load: () => import("./commands/context-use.ts") },
    ],
  },
  {
    name: "completion",
    short: "Generate the autocompletion script for the specified shell",
    commands: [
      { name: "bash", load: async () => (await import("./commands/completion.ts")).bash },
      { name: "fish", load: async () => (await import("./commands/completion.ts")).fish },
      { name: "zsh", load: async () => (await import("./commands/completion.ts")).zsh },
    ],
  },
];

function manifestHelp(path: string): string {
  return `The **${path}** command has subcommands for managing image manifests and
manifest lists. A manifest list allows you to use one name to refer to the same image
built for multiple architectures.

To see help for a subcommand, use:

    ${path} CMD --help

For full details on using docker manifest lists, see the registry v2 specification.

${experimentalNote(path).trimEnd()}`;
}
