/** What the daemon and its storage workers say to each other. */
import type { WhiteoutStyle } from "./unpack.ts";

/** Unpacks one layer. Without `path` the archive comes as chunk messages, and "end" after the last. */
export interface UnpackTask {
  kind: "unpack";
  directory: string;
  style: WhiteoutStyle;
  path?: string;
  /** Also write the bytes as they came to this new file. */
  copyTo?: string;
}

/** Copies layers into one directory. */
export interface CopyTask {
  kind: "copy";
  layers: string[];
  target: string;
}

export type Task = UnpackTask | CopyTask;

export interface UnpackResult {
  /** sha256:… of the archive, decompressed. */
  diffId: string;
  /** Bytes of all files in it. */
  size: number;
  /** Of the bytes as they came. */
  source: { digest: string; size: number } | undefined;
}

export type TaskResult<T extends Task> = T extends UnpackTask ? UnpackResult : undefined;

export type ToWorker =
  | { id: number; kind: "task"; task: Task }
  | { id: number; kind: "chunk"; chunk: Uint8Array }
  | { id: number; kind: "end" }
  | { id: number; kind: "cancel" };

export type FromWorker =
  | { id: number; kind: "taken"; bytes: number }
  | { id: number; kind: "done"; result: UnpackResult | undefined }
  | { id: number; kind: "failed"; message: string };
