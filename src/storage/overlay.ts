/** The overlay2 driver: overlayfs stacks the layers' directories when a container is mounted. */
import { closeSync, mkdirSync, openSync, rmdirSync, rmSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { mknodAt } from "../kernel/at.ts";
import { fdPath, O_DIRECTORY, O_PATH, S_IFCHR } from "../kernel/files.ts";
import { MS_BIND, MS_RDONLY, MS_REMOUNT, mount, unmount } from "../kernel/mount.ts";
import { lsetxattr } from "../kernel/xattr.ts";
import { messageOf, systemError } from "../lib/errors.ts";
import { sumFiles } from "./disk-usage.ts";
import type { SnapshotDriver, WritableTree } from "./driver.ts";

/**
 * What keeps an upper directory meaningful without its mount, whatever the kernel was built with: no renamed lower
 * directories, no files without their data, no index that ties it to one set of lower directories.
 */
const portable = "index=off,redirect_dir=off,metacopy=off";

/** mount(2) copies one page of options, with the NUL at the end. */
const optionsLimitBytes = 4095;

export class OverlayDriver implements SnapshotDriver {
  readonly name = "overlay2";
  readonly whiteouts = "overlay";

  prepare(home: string): void {
    // 0755: the view's root takes its permissions from here, as Docker has it, whatever the layers say.
    mkdirSync(join(home, "diff"), { recursive: true, mode: 0o755 });
    mkdirSync(join(home, "work"), { recursive: true, mode: 0o700 });
  }

  mount(home: string, lowers: string[], target: string): string {
    mkdirSync(target, { recursive: true, mode: 0o711 });
    if (this.isMounted(home, target)) return target;
    mountOverlay(home, lowers, target);
    return target;
  }

  mountReadOnly(_home: string, lowers: string[], target: string): void {
    const stack = [...new Set(lowers.toReversed())];
    if (stack.length > 1) mountLayers(stack, (paths) => `lowerdir=${paths.join(":")}`, target, MS_RDONLY);
    else {
      // Overlayfs wants two of them. The lowest layer hides nothing, so that it is what it shows.
      mount(stack[0]!, target, "", MS_BIND);
      mount("", target, "", MS_BIND | MS_REMOUNT | MS_RDONLY);
    }
  }

  unmount(target: string): void {
    unmountAny(target);
    rmdirIfThere(target);
  }

  isMounted(_home: string, target: string): boolean {
    return isMountPoint(target);
  }

  async remove(home: string): Promise<void> {
    for (const part of ["diff", "work", "empty"]) await rm(join(home, part), { recursive: true, force: true });
  }

  writable(home: string): WritableTree {
    return { directory: join(home, "diff") };
  }

  usage(home: string): Promise<number> {
    return sumFiles(join(home, "diff"));
  }

  data(home: string, lowers: string[], target: string): Record<string, string> {
    return {
      LowerDir: lowers.toReversed().join(":"),
      MergedDir: target,
      UpperDir: join(home, "diff"),
      WorkDir: join(home, "work"),
    };
  }
}

/** Why overlayfs cannot have its upper directory below `dataRoot`; undefined where it can. */
export function whyNotOverlay(dataRoot: string): unknown {
  // The same name each time, so that what a crash left is found.
  const home = join(dataRoot, "overlay-check");
  const target = join(home, "merged");
  const lower = join(home, "lower");
  try {
    unmountAny(target);
    rmSync(home, { recursive: true, force: true });
    for (const part of [lower, join(home, "diff"), join(home, "work"), target])
      mkdirSync(part, { recursive: true, mode: 0o700 });
    checkWhiteouts(lower);
    mountOverlay(home, [lower], target);
    return undefined;
  } catch (thrown) {
    return systemError(`overlayfs does not work on the file system of ${dataRoot}: ${messageOf(thrown)}`, thrown);
  } finally {
    try {
      unmountAny(target);
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  }
}

/** Overlayfs itself, as a data root inside a container, may allow the mount but not what layers need. */
function checkWhiteouts(directory: string): void {
  const fd = openSync(directory, O_PATH | O_DIRECTORY);
  try {
    mknodAt(fd, "whiteout", S_IFCHR, 0, 0);
  } finally {
    closeSync(fd);
  }
  lsetxattr(directory, "trusted.overlay.opaque", Buffer.from("y"));
}

function mountOverlay(home: string, lowers: string[], target: string): void {
  // Overlayfs takes no layer twice. The upper one has all that the lower one has, and hides all that it hides.
  let stack = [...new Set(lowers.toReversed())];
  if (stack.length === 0) {
    // An image without layers; overlayfs wants a lower directory all the same.
    const empty = join(home, "empty");
    mkdirSync(empty, { recursive: true, mode: 0o755 });
    stack = [empty];
  }
  mountLayers([...stack, join(home, "diff"), join(home, "work")], optionsOf, target, 0);
}

/** Mounts with the options that `optionsOf` makes of the paths, or of shorter ones for the same. */
function mountLayers(paths: string[], optionsOf: (paths: string[]) => string, target: string, flags: number): void {
  const options = optionsOf(paths);
  if (options.length <= optionsLimitBytes && !paths.some((path) => /[,:\\]/.test(path))) {
    mount("overlay", target, "overlay", flags, options);
    return;
  }
  // Many layers, or a data root with signs that mean something in options: /proc/self/fd/N is short and plain.
  const fds: number[] = [];
  try {
    for (const path of paths) fds.push(openSync(path, O_PATH | O_DIRECTORY));
    mount("overlay", target, "overlay", flags, optionsOf(fds.map(fdPath)));
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

function optionsOf(paths: string[]): string {
  return `lowerdir=${paths.slice(0, -2).join(":")},upperdir=${paths.at(-2)},workdir=${paths.at(-1)},${portable}`;
}

/** Whether something is mounted exactly here: then it lies on another device than the directory it is in. */
function isMountPoint(path: string): boolean {
  const here = statSync(path, { throwIfNoEntry: false });
  return here !== undefined && here.dev !== statSync(dirname(path)).dev;
}

function unmountAny(target: string): void {
  for (;;) {
    try {
      if (!unmount(target)) return;
    } catch (thrown) {
      if ((thrown as { code?: string }).code !== "EBUSY") throw thrown;
      // Somebody still has a file open in it; it is gone when he closes it.
      unmount(target, true);
    }
  }
}

function rmdirIfThere(path: string): void {
  try {
    rmdirSync(path);
  } catch (thrown) {
    if ((thrown as { code?: string }).code !== "ENOENT") throw thrown;
  }
}
