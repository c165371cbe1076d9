/** Unpacks the tar archive of one layer into a directory. */
import { closeSync, openSync } from "node:fs";
import { chownAt, closeFast, createAt, type FileFacts, mknodAt, setXattrAt, statAt } from "../kernel/at.ts";
import { O_CREAT, O_DIRECTORY, O_EXCL, O_PATH, O_WRONLY, S_IFCHR } from "../kernel/files.ts";
import type { TarEntry } from "../lib/tar.ts";
import { DirectoryCache, isDirectory, isWhiteout } from "../trees/tree.ts";
import { BreakoutError, quote, TreeUnpacker } from "../trees/unpack-tree.ts";

/** How whiteouts are written to disk: see SnapshotDriver. */
export type WhiteoutStyle = "overlay" | "files";

const whiteoutPrefix = ".wh.";
const opaqueMarker = ".wh..wh..opq";

/** A TreeUnpacker for a layer: the layer's directory is the root of all paths, and whiteouts say what is gone. */
export class LayerUnpacker extends TreeUnpacker {
  readonly #style: WhiteoutStyle;

  /** `directory` must exist and be empty. */
  constructor(directory: string, style: WhiteoutStyle) {
    const root = openSync(directory, O_PATH | O_DIRECTORY);
    super(root, new DirectoryCache(root));
    this.#style = style;
  }

  override dispose(): void {
    super.dispose();
    closeSync(this.root);
  }

  protected override admit(path: string, entry: TarEntry): TarEntry | undefined {
    const base = path.slice(path.lastIndexOf("/") + 1);
    if (base.startsWith(whiteoutPrefix)) {
      this.#whiteout(path, base, entry);
      return undefined;
    }
    // AUFS kept its own files under such names; no other driver reads them.
    if (path.includes(".wh..wh.") && /(^|\/)\.wh\.\.wh\./.test(path)) return undefined;
    if (entry.type === "symlink") checkSymlink(path, entry);
    return entry;
  }

  protected override afterReplace(existing: FileFacts, parent: number, base: string): void {
    if (isWhiteout(existing) && this.#style === "overlay") setOpaque(parent, base);
  }

  #whiteout(path: string, base: string, entry: TarEntry): void {
    if (base.startsWith(".wh..wh.") && base !== opaqueMarker) return;
    const hidden = base.slice(whiteoutPrefix.length);
    if (hidden === "" || hidden === "." || hidden === "..") throw new BreakoutError(`invalid whiteout ${quote(path)}`);
    const parent = this.parentOf(path);
    if (this.#style === "files") {
      const fd = createAt(parent, base, O_WRONLY | O_CREAT | O_EXCL, 0o600);
      if (fd !== undefined) closeFast(fd);
    } else if (base === opaqueMarker) setOpaque(parent, ".");
    else if (mknodAt(parent, hidden, S_IFCHR, 0, 0)) chownAt(parent, hidden, entry.uid, entry.gid);
    else {
      // The layer itself has something of that name. It hides the lower one already, unless both are directories.
      const existing = statAt(parent, hidden);
      if (existing !== undefined && isDirectory(existing)) setOpaque(parent, hidden);
    }
  }
}

function setOpaque(parent: number, base: string): void {
  setXattrAt(parent, base, "trusted.overlay.opaque", Buffer.from("y"));
}

/** Refuses a symbolic link whose target, seen from where the link is, climbs above the layer's root. */
function checkSymlink(path: string, entry: TarEntry): void {
  let depth = path.split("/").length - 1;
  for (const part of entry.linkName.split("/")) {
    if (part === "" || part === ".") continue;
    depth += part === ".." ? -1 : 1;
    if (depth < 0) throw new BreakoutError(`invalid symlink ${quote(entry.name)} -> ${quote(entry.linkName)}`);
  }
}
