/** What the daemon and its storage workers say to each other. */
import type { NewTarEntry } from "../lib/tar-writer.ts";
import type { ExtractTarget } from "../trees/extract.ts";
import type { ArchiveSource } from "../trees/pack.ts";
import type { ChangedTree, FileChange } from "./changes.ts";
import type { WhiteoutStyle } from "./unpack.ts";

/** A file to which bytes are written as they come. */
export interface CopyTarget {
  path: string;
  /** So many bytes are in the file already, and come first; the file is new where this is 0. */
  resumeFrom: number;
  /** What all bytes together must be; without it whatever they are. */
  expected?: { digest: string; size: number };
}

/** Unpacks one layer. Without `path` the archive comes as chunk messages, and "end" after the last. */
export interface UnpackTask {
  kind: "unpack";
  directory: string;
  style: WhiteoutStyle;
  path?: string;
  copyTo?: CopyTarget;
  /** What layerLimitBytes() is to be told. */
  limitBytes: number;
}

/** Writes and hashes what comes as chunk messages. */
export interface ReceiveTask {
  kind: "receive";
  copyTo: CopyTarget;
}

/** Compresses a file into another with gzip. */
export interface CompressTask {
  kind: "compress";
  path: string;
  copyTo: CopyTarget;
}

/** Writes what comes as chunk messages to a file, from an offset on. What it wrote stays where it fails. */
export interface AppendTask {
  kind: "append";
  path: string;
  offset: number;
}

/** Computes a file's digest. */
export interface HashTask {
  kind: "hash";
  path: string;
  algorithm: "sha256" | "sha512";
}

/** Copies layers into one directory. */
export interface CopyTask {
  kind: "copy";
  layers: string[];
  target: string;
}

/** Makes a layer of what a container has changed: its archive, and in `directory` what that unpacks to. */
export interface PackTask {
  kind: "pack";
  tree: ChangedTree;
  directory: string;
  /** A new file for the archive. */
  copyTo: string;
}

/** Sends the archive of a whole tree in output messages, no more of them than were asked for. */
export interface ExportTask {
  kind: "export";
  /** Open for as long as the task runs. */
  rootFd: number;
  placeholders: NewTarEntry[];
}

/** Sends the archive of one path as an export task does. */
export interface ArchiveTask {
  kind: "archive";
  source: ArchiveSource;
}

/** Extracts what comes as chunk messages, compressed or not. The target's fds are open for as long as the task runs. */
export interface ExtractTask {
  kind: "extract";
  target: ExtractTarget;
}

/** mount(2), which may wait for a server. */
export interface MountTask {
  kind: "mount";
  source: string;
  target: string;
  fstype: string;
  flags: number;
  data: string;
}

/** 0 where it went well. */
export interface MountResult {
  errno: number;
}

export interface ChangesTask {
  kind: "changes";
  tree: ChangedTree;
}

export type Task =
  | UnpackTask
  | ReceiveTask
  | CompressTask
  | AppendTask
  | HashTask
  | CopyTask
  | PackTask
  | ExportTask
  | ArchiveTask
  | ExtractTask
  | MountTask
  | ChangesTask;

export interface UnpackResult {
  /** sha256:… of the archive, decompressed. */
  diffId: string;
  /** Bytes of all files in it. */
  size: number;
  /** Of the bytes as they came. */
  source: CopiedBytes | undefined;
}

export interface CopiedBytes {
  digest: string;
  size: number;
}

export interface PackResult {
  /** sha256:… of the archive. */
  diffId: string;
  /** Bytes of all files in it. */
  size: number;
  /** The archive at `copyTo`. */
  source: CopiedBytes;
}

export type TaskResult<T extends Task> = T extends UnpackTask
  ? UnpackResult
  : T extends ReceiveTask | CompressTask | HashTask
    ? CopiedBytes
    : T extends PackTask
      ? PackResult
      : T extends ChangesTask
        ? FileChange[]
        : T extends MountTask
          ? MountResult
          : undefined;

export type AnyResult = UnpackResult | CopiedBytes | PackResult | MountResult | FileChange[] | undefined;

export type ToWorker =
  | { id: number; kind: "task"; task: Task }
  | { id: number; kind: "chunk"; chunk: Uint8Array }
  | { id: number; kind: "end" }
  | { id: number; kind: "more"; count: number }
  | { id: number; kind: "cancel" };

export type FromWorker =
  /** `isEarlier`: read from what an earlier attempt had left. */
  | { id: number; kind: "taken"; bytes: number; isEarlier: boolean }
  | { id: number; kind: "output"; chunk: Uint8Array }
  | { id: number; kind: "done"; result: AnyResult }
  /** `isMismatch`: the bytes are not those that `expected` names, whatever else went wrong. */
  | { id: number; kind: "failed"; message: string; isMismatch: boolean };
