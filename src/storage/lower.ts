/** What an image's layers show at a path, without mounting them. */
import { closeSync, openSync, readdirSync } from "node:fs";
import { type FileFacts, statAt, xattrAt } from "../kernel/at.ts";
import { O_DIRECTORY, O_PATH } from "../kernel/files.ts";
import { isDirectory, isWhiteout, keptXattrs } from "../trees/tree.ts";
import type { WhiteoutStyle } from "./unpack.ts";

const whiteoutPrefix = ".wh.";
const opaqueMarker = ".wh..wh..opq";

/** Something that the layers show. */
export interface LowerEntry {
  facts: FileFacts;
  xattrs(): Map<string, Buffer> | undefined;
}

/** Whether a directory on disk hides all that lies in it below. */
export function isOpaque(dirFd: number, name: string): boolean {
  return xattrAt(dirFd, name, "trusted.overlay.opaque")?.toString() === "y";
}

/** Layers that are open to be looked into. Nobody writes to them. */
export class LowerLayers {
  readonly #fds: number[] = [];

  /** `directories` are those of the layers, the lowest first. */
  constructor(
    directories: string[],
    readonly style: WhiteoutStyle,
  ) {
    try {
      for (const directory of directories.toReversed()) this.#fds.push(openSync(directory, O_PATH | O_DIRECTORY));
    } catch (thrown) {
      this.close();
      throw thrown;
    }
  }

  get root(): LowerDirectory {
    return new LowerDirectory(this.#fds, "", this.style);
  }

  close(): void {
    for (const fd of this.#fds.splice(0)) closeSync(fd);
  }
}

/** One directory as the layers show it. Names have one character per byte. */
export class LowerDirectory {
  /** Those layers that have a part in it, the highest first. */
  readonly #layers: readonly number[];
  readonly #path: string;
  readonly #style: WhiteoutStyle;

  constructor(layers: readonly number[], path: string, style: WhiteoutStyle) {
    this.#layers = layers;
    this.#path = path;
    this.#style = style;
  }

  /** What is seen under a name; undefined where nothing is. */
  find(name: string): LowerEntry | undefined {
    for (const layer of this.#layers) {
      // Every directory of the path was seen to be one, in a layer that does not change: no link is followed.
      const facts = this.#stat(layer, name);
      if (facts !== undefined)
        return this.#hides(facts) ? undefined : { facts, xattrs: () => keptXattrs(layer, this.#join(name)) };
      if (this.#isHiddenBelow(layer, name)) return undefined;
    }
    return undefined;
  }

  /** The directory of that name; undefined where there is none. */
  child(name: string): LowerDirectory | undefined {
    const parts: number[] = [];
    for (const layer of this.#layers) {
      const facts = this.#stat(layer, name);
      if (facts !== undefined) {
        if (!isDirectory(facts)) break;
        parts.push(layer);
        if (this.#isOpaque(layer, name)) break;
      }
      if (this.#isHiddenBelow(layer, name)) break;
    }
    return parts.length === 0 ? undefined : new LowerDirectory(parts, this.#join(name), this.#style);
  }

  /** Names of all that is seen in it. */
  names(): string[] {
    const seen = new Set<string>();
    const hidden = new Set<string>();
    for (const layer of this.#layers) {
      const here: string[] = [];
      for (const entry of readdirSync(this.#procPath(layer), { encoding: "latin1", withFileTypes: true })) {
        const { name } = entry;
        if (this.#style === "files" && name.startsWith(whiteoutPrefix)) {
          if (name !== opaqueMarker) here.push(name.slice(whiteoutPrefix.length));
        } else if (hidden.has(name)) continue;
        else if (entry.isCharacterDevice() && this.#hides(this.#stat(layer, name))) here.push(name);
        else seen.add(name);
      }
      // What is hidden here is hidden in the layers below.
      for (const name of here) hidden.add(name);
    }
    return [...seen];
  }

  #join(name: string): string {
    return this.#path === "" ? name : `${this.#path}/${name}`;
  }

  #stat(layer: number, name: string): FileFacts | undefined {
    return statAt(layer, this.#join(name));
  }

  #hides(facts: FileFacts | undefined): boolean {
    return this.#style === "overlay" && facts !== undefined && isWhiteout(facts);
  }

  #isHiddenBelow(layer: number, name: string): boolean {
    return this.#style === "files" && this.#stat(layer, `${whiteoutPrefix}${name}`) !== undefined;
  }

  #isOpaque(layer: number, name: string): boolean {
    return this.#style === "overlay"
      ? isOpaque(layer, this.#join(name))
      : this.#stat(layer, `${name}/${opaqueMarker}`) !== undefined;
  }

  #procPath(layer: number): Buffer {
    return Buffer.from(`/proc/self/fd/${layer}/${this.#path}`, "latin1");
  }
}
