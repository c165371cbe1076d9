/** For tests: real containers without images, from Debian's static busybox. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeCgroup } from "../kernel/cgroups.ts";
import { Console } from "./console.ts";
import type { OciProcess } from "./oci.ts";
import { type Launch, type LaunchOptions, Runtime } from "./runtime.ts";

/** A run root with a runtime, gone again after close(). */
export class TestHouse {
  readonly root = mkdtempSync(join(tmpdir(), "brig-runtime-"));
  readonly cgroup = `/brig-test-${process.pid}-${this.root.slice(-6)}`;
  runtime = this.open();
  readonly #ids: string[] = [];

  constructor() {
    const bin = join(this.root, "rootfs", "bin");
    for (const name of ["bin", "proc", "dev", "etc", "tmp"])
      mkdirSync(join(this.root, "rootfs", name), { recursive: true });
    copyFileSync("/bin/busybox", join(bin, "busybox"));
    for (const name of ["sh", "cat", "dd", "sleep", "stty", "wc", "seq", "true", "head"]) {
      symlinkSync("busybox", join(bin, name));
    }
    writeFileSync(join(this.root, "rootfs", "etc", "notes"), "no program\n");
    mkdirSync(join(this.root, "logs"));
  }

  /** A second opening stands for a daemon that was started again. */
  open(): Runtime {
    return new Runtime({
      name: "crun",
      runtimePath: "/usr/bin/crun",
      conmonPath: "/usr/bin/conmon",
      stateRoot: join(this.root, "crun"),
      runRoot: this.root,
      systemdCgroup: false,
    });
  }

  bundle(id: string): string {
    return join(this.root, "containers", id);
  }

  logPath(id: string): string {
    return join(this.root, "logs", id);
  }

  begin(id: string, args: string[], options: Partial<LaunchOptions> = {}): Launch {
    const bundle = this.bundle(id);
    mkdirSync(bundle, { recursive: true });
    const settings = { tty: false, openStdin: false, leaveStdinOpen: false, logPath: this.logPath(id), ...options };
    const launch = this.runtime.begin({ id, bundle, ...settings });
    this.#ids.push(id);
    writeFileSync(join(bundle, "config.json"), JSON.stringify(this.spec(id, args, settings.tty)));
    return launch;
  }

  /** Creates, attaches and starts; `exit` resolves with the code. */
  async run(id: string, args: string[], options: Partial<LaunchOptions> = {}) {
    const launch = this.begin(id, args, options);
    const exit = this.exitOf(id);
    const console = this.console(id, options);
    const attachment = console.attach({ stdin: options.openStdin ?? false, stdout: true, stderr: true });
    const created = await launch.proceed();
    await console.connectIfAwaited();
    await this.runtime.start(id);
    return { ...created, exit, console, attachment };
  }

  console(
    id: string,
    { tty = false, openStdin = false, leaveStdinOpen = false }: Partial<LaunchOptions> = {},
  ): Console {
    return new Console({ directory: this.bundle(id), tty, closesStdin: openStdin && !leaveStdinOpen });
  }

  exitOf(id: string): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    const stop = this.runtime.onExit((ended, exitCode) => {
      if (ended !== id) return;
      stop();
      resolve(exitCode);
    });
    return promise;
  }

  process(args: string[], tty = false): OciProcess {
    const none: string[] = [];
    return {
      terminal: tty,
      user: { uid: 0, gid: 0 },
      args,
      env: ["PATH=/bin"],
      cwd: "/",
      capabilities: { bounding: none, effective: none, permitted: none, inheritable: none, ambient: none },
      noNewPrivileges: true,
    };
  }

  spec(id: string, args: string[], tty: boolean): object {
    return {
      ociVersion: "1.0.2",
      process: this.process(args, tty),
      root: { path: join(this.root, "rootfs"), readonly: true },
      hostname: "test",
      mounts: [
        { destination: "/proc", type: "proc", source: "proc", options: [] },
        { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["mode=755"] },
        { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666"] },
      ],
      linux: {
        cgroupsPath: `${this.cgroup}/${id}`,
        namespaces: ["pid", "ipc", "uts", "mount", "network"].map((type) => ({ type })),
      },
    };
  }

  async close(): Promise<void> {
    for (const id of this.#ids) await this.runtime.delete(id);
    this.runtime.close();
    removeCgroup(this.cgroup);
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** All that comes out of an attachment, by stream. */
export async function readAll(output: AsyncIterable<{ stream: 1 | 2; data: Uint8Array }>): Promise<[string, string]> {
  const texts: [string, string] = ["", ""];
  for await (const { stream, data } of output) texts[stream - 1] += Buffer.from(data).toString();
  return texts;
}
