/** The vfs driver: every container gets a copy of its layers. Slow and large, and works on any file system. */
import { existsSync, mkdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { MS_BIND, MS_RDONLY, MS_REMOUNT, mount } from "../kernel/mount.ts";
import { sumFiles } from "./disk-usage.ts";
import type { SnapshotDriver, WritableTree } from "./driver.ts";
import { storageWorkers } from "./worker-pool.ts";

export class VfsDriver implements SnapshotDriver {
  readonly name = "vfs";
  readonly whiteouts = "files";

  async prepare(home: string, lowers: string[]): Promise<void> {
    const { diff, partial, marker } = pathsIn(home);
    if (existsSync(marker)) return;
    await this.remove(home);
    mkdirSync(partial, { mode: 0o755 });
    await storageWorkers.run({ kind: "copy", layers: lowers, target: partial });
    renameSync(partial, diff);
    // Written last: it says that the copy is complete, and when. What changed later, the container changed.
    writeFileSync(marker, "");
  }

  mount(home: string): string {
    return pathsIn(home).diff;
  }

  async mountReadOnly(home: string, lowers: string[], target: string): Promise<void> {
    mkdirSync(home, { recursive: true, mode: 0o710 });
    await this.prepare(home, lowers);
    mount(pathsIn(home).diff, target, "", MS_BIND);
    mount("", target, "", MS_BIND | MS_REMOUNT | MS_RDONLY);
  }

  unmount(): void {}

  isMounted(home: string): boolean {
    return existsSync(pathsIn(home).marker);
  }

  async remove(home: string): Promise<void> {
    const { diff, partial, marker } = pathsIn(home);
    for (const path of [marker, diff, partial]) await rm(path, { recursive: true, force: true });
  }

  writable(home: string): WritableTree {
    const { diff, marker } = pathsIn(home);
    return { directory: diff, changedSinceNs: String(statSync(marker, { bigint: true }).ctimeNs) };
  }

  async usage(home: string): Promise<number> {
    const { diff, marker } = pathsIn(home);
    const facts = statSync(marker, { bigint: true, throwIfNoEntry: false });
    return facts === undefined ? 0 : sumFiles(diff, facts.ctimeNs);
  }

  data(): Record<string, string> {
    return {};
  }
}

function pathsIn(home: string): { diff: string; partial: string; marker: string } {
  return { diff: join(home, "diff"), partial: join(home, "diff.partial"), marker: join(home, "copied") };
}
