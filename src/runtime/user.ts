/** Who a container's process runs as: `--user` and `--group-add` looked up in the container's own files. */
import { closeSync, constants, fstatSync, readSync } from "node:fs";
import { openInRoot } from "../kernel/files.ts";
import { invalidParameter } from "../lib/errors.ts";

export interface ResolvedUser {
  uid: number;
  gid: number;
  /** Supplementary groups, without the primary one. */
  additionalGids: number[];
  /** Home directory; / where the user is in no file. */
  home: string;
}

interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
  home: string;
}

interface GroupEntry {
  name: string;
  gid: number;
  members: string[];
}

const maxId = 2 ** 31 - 1;
/** More is not read: a real file of a million users is smaller, and the image's author must not fill our memory. */
const fileLimitBytes = 64 * 2 ** 20;

const outOfRange = () => invalidParameter(`uids and gids must be in range 0-${maxId}`);

/** A number if the text is one, however large or negative; undefined for a name. */
function parseId(text: string): number | undefined {
  return /^[+-]?[0-9]+$/.test(text) ? Number(text) : undefined;
}

function checkId(id: number): number {
  if (id < 0 || id > maxId) throw outOfRange();
  return id;
}

/** The text of a file in the container; "" where it is none or is not a regular file. Symlinks stay inside the root. */
function readInRoot(rootfs: string, path: string): string {
  let fd: number;
  try {
    fd = openInRoot(rootfs, path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP") return "";
    throw thrown;
  }
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) return "";
    if (stats.size > fileLimitBytes)
      throw invalidParameter(`/${path} of the container is larger than ${fileLimitBytes} bytes`);
    const buffer = Buffer.alloc(stats.size);
    let length = 0;
    while (length < buffer.length) {
      const count = readSync(fd, buffer, length, buffer.length - length, length);
      if (count === 0) break;
      length += count;
    }
    return buffer.toString("utf8", 0, length);
  } finally {
    closeSync(fd);
  }
}

function* entriesOf(text: string): Generator<string[]> {
  for (let start = 0; start < text.length; ) {
    const newline = text.indexOf("\n", start);
    const end = newline < 0 ? text.length : newline;
    const line = text.slice(start, end).trim();
    start = end + 1;
    if (line !== "" && !line.startsWith("#")) yield line.split(":");
  }
}

const number = (field: string | undefined) => (/^[0-9]+$/.test(field ?? "") ? Number(field) : Number.NaN);

function* passwdEntries(text: string): Generator<PasswdEntry> {
  for (const [name = "", , uid, gid, , home] of entriesOf(text))
    yield { name, uid: number(uid), gid: number(gid) || 0, home: home || "/" };
}

function* groupEntries(text: string): Generator<GroupEntry> {
  for (const [name = "", , gid, members = ""] of entriesOf(text))
    yield { name, gid: number(gid), members: members === "" ? [] : members.split(",") };
}

/** The first group of this name or number; a number needs no entry. */
function findGroup(group: string, text: string): number | undefined {
  const id = parseId(group);
  for (const entry of groupEntries(text))
    if (entry.name === group || (id !== undefined && entry.gid === id)) return entry.gid;
  return id;
}

/**
 * Looks up `user` (name, uid, name:group, uid:gid, :group; empty is root) and the added groups in /etc/passwd and
 * /etc/group below `rootfs`. A number needs no entry; its group is 0 then. The groups the user is a member of come
 * along unless a group was named. Throws invalidParameter with Docker's sentences for names that are not there and
 * for numbers out of range.
 */
export function resolveUser(rootfs: string, user: string, groupAdd: readonly string[] = []): ResolvedUser {
  const colon = user.indexOf(":");
  const userPart = colon < 0 ? user : user.slice(0, colon);
  const groupPart = colon < 0 ? "" : user.slice(colon + 1);
  const userId = userPart === "" ? 0 : parseId(userPart);

  const passwd = readInRoot(rootfs, "etc/passwd");
  let entry: PasswdEntry | undefined;
  for (const candidate of passwdEntries(passwd))
    if ((userPart !== "" && candidate.name === userPart) || candidate.uid === userId) {
      entry = candidate;
      break;
    }
  if (entry === undefined && userId === undefined)
    throw invalidParameter(`unable to find user ${userPart}: no matching entries in passwd file`);
  const resolved: ResolvedUser = {
    uid: checkId(entry?.uid ?? userId!),
    gid: checkId(entry?.gid ?? 0),
    additionalGids: [],
    home: entry?.home ?? "/",
  };

  const groups = groupPart !== "" || groupAdd.length > 0 || entry !== undefined ? readInRoot(rootfs, "etc/group") : "";
  const additional = new Set<number>();
  if (groupPart !== "") {
    const gid = findGroup(groupPart, groups);
    if (gid === undefined)
      throw invalidParameter(`unable to find group ${groupPart}: no matching entries in group file`);
    resolved.gid = checkId(gid);
  } else if (entry !== undefined) {
    for (const { gid, members } of groupEntries(groups))
      if (gid <= maxId && members.includes(entry.name)) additional.add(gid);
  }
  for (const group of groupAdd) {
    const gid = findGroup(group, groups);
    if (gid === undefined) throw invalidParameter(`Unable to find group ${group}: no matching entries in group file`);
    additional.add(checkId(gid));
  }
  additional.delete(resolved.gid);
  resolved.additionalGids = [...additional];
  return resolved;
}
