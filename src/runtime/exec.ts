/** exec: another process in a running container, held by a conmon of its own. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isAlive } from "../kernel/process.ts";
import { Conmon } from "./conmon.ts";
import { type Attachment, type AttachOptions, Console } from "./console.ts";
import type { OciProcess } from "./oci.ts";
import { runtimeFailure } from "./runtime-errors.ts";

export interface ExecOptions {
  /** The container's. */
  id: string;
  /** A place for the exec's own files; made here, removed when the process has ended. */
  directory: string;
  process: OciProcess;
  openStdin: boolean;
  /** The first client's streams: from the very first byte. Undefined for a detached exec. */
  attach?: AttachOptions | undefined;
}

/** A process that was started. */
export interface Exec {
  pid: number;
  console: Console;
  /** The first client's end, where one was asked for. */
  attachment: Attachment | undefined;
  /** The exit code; never rejects. 137 where its conmon was killed. */
  exit: Promise<number>;
}

const lostExitCode = 137;

/** Starts it. `conmon.args` are those that name container, runtime and directory. Throws RuntimeFailure. */
export async function startExec(
  options: ExecOptions,
  conmon: { name: string; conmonPath: string; args: string[] },
): Promise<Exec> {
  const { directory, process, openStdin, attach } = options;
  // Not recursive: where the container's own directory is gone, so is the container.
  mkdirSync(directory, { mode: 0o700 });
  const specPath = join(directory, "process.json");
  writeFileSync(specPath, JSON.stringify(process));
  const clean = () => rmSync(directory, { recursive: true, force: true });
  let monitor: Conmon | undefined;
  try {
    monitor = new Conmon({
      conmonPath: conmon.conmonPath,
      directory,
      attachPipe: attach !== undefined,
      args: [
        ...conmon.args,
        "--exec",
        "--exec-process-spec",
        specPath,
        "-l",
        "none",
        ...(attach === undefined ? [] : ["--exec-attach"]),
        ...(process.terminal ? ["-t"] : []),
        ...(openStdin ? ["-i"] : []),
        ...(openStdin && process.terminal ? ["--leave-stdin-open"] : []),
      ],
    });
    let pid = 0;
    const console = new Console({
      directory,
      tty: process.terminal,
      closesStdin: openStdin && !process.terminal,
      isAlive: () => isAlive(pid),
    });
    monitor.release();
    let attachment: Attachment | undefined;
    if (attach !== undefined) {
      attachment = console.attach(attach);
      await monitor.attachable();
      await console.connect();
      monitor.release();
    }
    const { data, message } = await monitor.nextMessage();
    pid = data;
    if (pid <= 0) {
      console.close();
      throw runtimeFailure(message ?? "", {
        action: "exec",
        runtime: conmon.name,
        command: process.args[0] ?? "",
        cwd: process.cwd,
      });
    }
    return { pid, console, attachment, exit: exitOf(monitor, console).finally(clean) };
  } catch (error) {
    monitor?.kill();
    monitor?.disconnect();
    clean();
    throw error;
  }
}

async function exitOf(monitor: Conmon, console: Console): Promise<number> {
  try {
    return (await monitor.nextMessage()).data & 0xff;
  } catch {
    return lostExitCode;
  } finally {
    monitor.disconnect();
    console.close();
  }
}
