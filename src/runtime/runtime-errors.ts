/** Turns what an OCI runtime prints when it fails into the sentences that Docker's clients match on. */
import { BrigError, type ErrorKind } from "../lib/errors.ts";

/** A container or exec that could not be started. `exitCode` is what Docker records for it: 126, 127 or 128. */
export class RuntimeFailure extends BrigError {
  constructor(
    kind: ErrorKind,
    message: string,
    readonly exitCode: number,
  ) {
    super(kind, message);
    this.name = "RuntimeFailure";
  }
}

/** What was tried; `command` is the first word of the process' arguments, `cwd` its working directory. */
export interface Attempt {
  action: "create" | "exec";
  runtime: string;
  command: string;
  cwd: string;
}

/** Reads a runtime's stderr. */
export function runtimeFailure(stderr: string, attempt: Attempt): RuntimeFailure {
  const reason = reasonOf(stripPrefix(stderr), attempt);
  const place =
    attempt.action === "create"
      ? `failed to create task for container: failed to create shim task: OCI runtime create failed: ${attempt.runtime} create failed`
      : "OCI runtime exec failed: exec failed";
  return new RuntimeFailure(
    reason.exitCode === 128 ? "system" : "invalidParameter",
    `${place}: unable to start container process: ${reason.text}: unknown`,
    reason.exitCode,
  );
}

function reasonOf(text: string, { command, cwd }: Attempt): { text: string; exitCode: number } {
  const quoted = JSON.stringify(command);
  if (/executable file .*not found/i.test(text)) {
    return command.includes("/")
      ? { text: `exec: ${quoted}: stat ${command}: no such file or directory`, exitCode: 127 }
      : { text: `exec: ${quoted}: executable file not found in $PATH`, exitCode: 127 };
  }
  // crun says EPERM where the file is a directory or another thing that is no program.
  if (/^open executable: /i.test(text) || /^exec(ve)?[ :`].*permission denied/i.test(text)) {
    return { text: `exec: ${quoted}: permission denied`, exitCode: 126 };
  }
  const chdir = /^chdir.*?: (.*)$/i.exec(text);
  if (chdir) {
    const why = lowerFirst(chdir[1]!);
    return {
      text: `chdir to cwd (${JSON.stringify(cwd)}) set in config.json failed: ${why}`,
      exitCode: codeOf(why),
    };
  }
  const exec = /^exec(?:ve)?\b.*: ([^:]+)$/i.exec(text);
  if (exec) {
    const why = lowerFirst(exec[1]!);
    return { text: `exec: ${quoted}: ${why}`, exitCode: codeOf(why) };
  }
  const lowered = text.replace(
    /: (No such file or directory|Permission denied|Not a directory|Is a directory)/g,
    (all) => all.toLowerCase(),
  );
  return { text: lowered === "" ? "the runtime failed without a word" : lowered, exitCode: codeOf(lowered) };
}

function codeOf(text: string): number {
  if (/no such file or directory/i.test(text)) return 127;
  if (/permission denied|not a directory|is a directory|exec format error/i.test(text)) return 126;
  return 128;
}

/** runc and crun with a log format print time, level and `msg=` before the sentence. The last line is the reason. */
function stripPrefix(stderr: string): string {
  const lines = stderr
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const last = lines.findLast((line) => !/level=(warning|info|debug)/.test(line)) ?? lines.at(-1) ?? "";
  const message = /msg="((?:[^"\\]|\\.)*)"/.exec(last)?.[1]?.replace(/\\(.)/g, "$1") ?? last;
  return message
    .replace(/^\d{4}-\d\d-\d\dT\S+:? /, "")
    .replace(/^(?:runc|crun) (?:create|exec) failed: (?:unable to start container process: )?/, "")
    .replace(/^(?:\[.*?\] |error: |crun: )/i, "");
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
