/** The tasks of a storage worker that read trees: a layer of a container's changes, an export, a list of changes. */
import { closeSync, openSync, writeSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { TarReader } from "../lib/tar.ts";
import { membersOfPath, membersOfTree, packTar } from "../trees/pack.ts";
import { type FileChange, listChanges } from "./changes.ts";
import { membersOfLayer } from "./pack-layer.ts";
import { LayerUnpacker } from "./unpack.ts";
import type { ArchiveTask, ChangesTask, ExportTask, PackResult, PackTask } from "./worker-protocol.ts";

/** What a task asks of the messages that come for it. */
export interface TaskInbox {
  throwIfCancelled(): void;
  /** Resolves when one more piece of output is wanted. */
  wanted(): Promise<void>;
}

/** The worker's other tasks wait no longer than this. */
const sliceMs = 10;

/** Gives the worker's loop back when a slice is over: messages, a cancel among them, are read only then. */
function slicer(inbox: TaskInbox): () => Promise<void> | undefined {
  let sliceStart = performance.now();
  return () => {
    if (performance.now() - sliceStart < sliceMs) return undefined;
    return setImmediate().then(() => {
      inbox.throwIfCancelled();
      sliceStart = performance.now();
    });
  };
}

/**
 * Writes the archive and unpacks the same bytes: the layer is on disk what it will be wherever it is pulled. Throws
 * BreakoutError for a link that no image may have.
 */
export async function packLayer({ tree, directory, copyTo }: PackTask, inbox: TaskInbox): Promise<PackResult> {
  const rest = slicer(inbox);
  const hash = new Bun.CryptoHasher("sha256");
  const unpacker = new LayerUnpacker(directory, tree.style);
  let fd: number | undefined;
  let size = 0;
  try {
    fd = openSync(copyTo, "wx", 0o600);
    const reader = new TarReader(unpacker, { names: "latin1" });
    for (const piece of packTar(membersOfLayer(tree))) {
      hash.update(piece);
      for (let done = 0; done < piece.length; ) done += writeSync(fd, piece, done, piece.length - done);
      reader.push(piece);
      size += piece.length;
      await rest();
    }
    reader.finish();
    unpacker.finish();
  } finally {
    unpacker.dispose();
    if (fd !== undefined) closeSync(fd);
  }
  const digest = `sha256:${hash.digest("hex")}`;
  return { diffId: digest, size: unpacker.size, source: { digest, size } };
}

/** Sends each piece when it is wanted. */
export async function sendArchive(
  task: ExportTask | ArchiveTask,
  inbox: TaskInbox,
  send: (piece: Buffer) => void,
): Promise<void> {
  const members = task.kind === "archive" ? membersOfPath(task.source) : membersOfTree(task.rootFd, task.placeholders);
  const pieces = packTar(members, { isKept: true, wholeSeconds: task.kind === "archive" });
  try {
    for (;;) {
      await inbox.wanted();
      const { done, value } = pieces.next();
      if (done) return;
      send(value);
    }
  } finally {
    pieces.return(undefined);
  }
}

export async function changesOf({ tree }: ChangesTask, inbox: TaskInbox): Promise<FileChange[]> {
  const rest = slicer(inbox);
  const changes = listChanges(tree);
  try {
    for (;;) {
      const { done, value } = changes.next();
      if (done) return value;
      await rest();
    }
  } finally {
    changes.return([]);
  }
}
