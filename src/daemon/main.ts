/** `brig daemon`: the process around a Daemon. */
import { messageOf } from "../lib/errors.ts";
import { FlagError, HelpRequested, parseFlags } from "../lib/flags.ts";
import { Logger } from "../lib/logger.ts";
import { gitCommit, version } from "../lib/version.ts";
import { loadConfig, reloadConfig } from "./config.ts";
import { Daemon } from "./daemon.ts";
import { daemonHelp } from "./help.ts";
import { daemonFlags } from "./options.ts";
import { uninstall } from "./uninstall.ts";

/** Runs until SIGTERM or SIGINT. Returns the exit code; `argv` is what follows `brig daemon`. */
export async function runDaemon(argv: string[]): Promise<number> {
  try {
    const flags = parseFlags(daemonFlags, argv, { interspersed: true });
    if (flags.bool("version")) {
      console.log(`Brig version ${version}, build ${gitCommit}`);
      return 0;
    }
    const config = loadConfig(flags);
    if (flags.bool("validate")) {
      console.log("configuration OK");
      return 0;
    }
    const log = new Logger({ level: config.debug ? "debug" : config.logLevel, format: config.logFormat });
    if (flags.bool("uninstall")) {
      await uninstall(config, log);
      return 0;
    }
    for (const warning of config.warnings) log.warn(warning);
    if (process.getuid?.() !== 0) throw new Error("brig daemon needs to be started with root privileges");
    const stopped = signalled();
    process.on("unhandledRejection", (error) => log.error(`unexpected: ${(error as Error)?.stack ?? error}`));
    const daemon = await Daemon.start(config, log);
    process.on("SIGHUP", () => {
      try {
        daemon.reload(reloadConfig(flags));
      } catch (error) {
        log.error(`the configuration was not reloaded: ${messageOf(error)}`);
      }
    });
    process.on("uncaughtException", (error) => log.error(`unexpected: ${error.stack ?? error}`));
    log.info(`${await stopped}: the daemon ends, containers go on`);
    await daemon.stop();
    return 0;
  } catch (error) {
    if (error instanceof HelpRequested) {
      console.log(daemonHelp());
      return 0;
    }
    process.stderr.write(`${messageOf(error)}\n`);
    if (error instanceof FlagError) process.stderr.write("Run 'brig daemon --help' for more information\n");
    return error instanceof FlagError ? 125 : 1;
  }
}

function signalled(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => resolve(signal));
  });
}
