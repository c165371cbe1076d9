/** Changes to the files in /etc of a container that runs. They are the container's as well: it may have made anything of them. */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { etcFile } from "./paths.ts";
import type { Rooms } from "./rooms.ts";

/** A container can make its files as large as it likes, holes included; none of Brig's comes near this. */
const limitBytes = 1 << 20;

/**
 * Writes what `change` makes of a file's content, in place, because the file is mounted in the container. Leaves a file
 * alone that the container has made too large for one of its kind, or keeps from being written.
 */
export function changeEtcFile(
  { settings }: Rooms,
  id: string,
  name: "hosts" | "resolv.conf",
  change: (content: string) => string,
): void {
  const fd = openToChange(etcFile(settings, id, name));
  if (fd === undefined) return;
  try {
    const { size } = fstatSync(fd);
    if (size > limitBytes) return;
    const bytes = Buffer.allocUnsafe(size);
    const content = bytes.toString("utf8", 0, readSync(fd, bytes, 0, size, 0));
    const changed = change(content);
    if (changed === content) return;
    // Cut only afterwards: who reads meanwhile finds no empty file, and a full disk leaves none behind.
    const length = writeAll(fd, Buffer.from(changed));
    ftruncateSync(fd, length);
  } finally {
    closeSync(fd);
  }
}

function openToChange(path: string): number | undefined {
  try {
    return openSync(path, "r+");
  } catch (error) {
    // chattr +i
    if ((error as NodeJS.ErrnoException).code === "EPERM") return undefined;
    throw error;
  }
}

function writeAll(fd: number, bytes: Buffer): number {
  let at = 0;
  while (at < bytes.length) at += writeSync(fd, bytes, at, bytes.length - at, at);
  return at;
}
