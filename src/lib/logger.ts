/** The daemon's own log on stderr, in the lines dockerd writes, as text or as JSON. */
import { writeSync } from "node:fs";

/** From the most to the least serious. */
export const logLevels = ["fatal", "error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof logLevels)[number];

/** What goes with a message: names to values. */
export type LogFields = Record<string, string | number | boolean | undefined>;

export interface LoggerOptions {
  level: LogLevel;
  format: "text" | "json";
  /** Where a whole line goes; the process's stderr where there is none. */
  write?: (line: string) => void;
}

export class Logger {
  /** May be changed at any time: SIGHUP does. */
  level: LogLevel;
  readonly #format: "text" | "json";
  readonly #write: (line: string) => void;

  constructor({ level, format, write = writeToStderr }: LoggerOptions) {
    this.level = level;
    this.#format = format;
    this.#write = write;
  }

  /** True where a message of that level would be written, for messages that cost something to make. */
  enabled(level: LogLevel): boolean {
    return logLevels.indexOf(level) <= logLevels.indexOf(this.level);
  }

  debug(message: string, fields?: LogFields): void {
    this.#log("debug", message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.#log("info", message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.#log("warn", message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.#log("error", message, fields);
  }
  /** Only writes; ending the process is the caller's. */
  fatal(message: string, fields?: LogFields): void {
    this.#log("fatal", message, fields);
  }

  #log(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (!this.enabled(level)) return;
    const time = new Date().toISOString();
    const word = level === "warn" ? "warning" : level;
    if (this.#format === "json") {
      this.#write(`${JSON.stringify({ ...fields, level: word, msg: message, time })}\n`);
      return;
    }
    let line = `time=${JSON.stringify(time)} level=${word} msg=${JSON.stringify(message)}`;
    for (const [name, value] of Object.entries(fields)) {
      if (value !== undefined) line += ` ${name}=${quoted(String(value))}`;
    }
    this.#write(`${line}\n`);
  }
}

/** True for the name of a level as `--log-level` takes it. */
export function isLogLevel(name: string): name is LogLevel {
  return (logLevels as readonly string[]).includes(name);
}

function quoted(value: string): string {
  return /^[\w./:@^+-]+$/.test(value) ? value : JSON.stringify(value);
}

function writeToStderr(line: string): void {
  try {
    writeSync(2, line);
  } catch {
    // A reader of stderr that is gone or slow must not stop the daemon.
  }
}
