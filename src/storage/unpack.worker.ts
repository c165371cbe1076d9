/** Entry of a storage worker: a thread that unpacks and copies layers, several at a time where they wait for data. */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { messageOf } from "../lib/errors.ts";
import { TarReader } from "../lib/tar.ts";
import { copyLayers } from "./copy.ts";
import { decompress } from "./decompress.ts";
import { LayerUnpacker } from "./unpack.ts";
import type { FromWorker, Task, ToWorker, UnpackResult, UnpackTask } from "./worker-protocol.ts";

declare const self: Worker;

const readBytes = 256 * 1024;

/** What came for a task and is not read yet. */
class Inbox {
  readonly #chunks: Uint8Array[] = [];
  #isOver = false;
  #isCancelled = false;
  #wake = () => {};

  push(chunk: Uint8Array | undefined): void {
    if (chunk === undefined) this.#isOver = true;
    else this.#chunks.push(chunk);
    this.#wake();
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#wake();
  }

  throwIfCancelled(): void {
    if (this.#isCancelled) throw new Error("context canceled");
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    for (;;) {
      this.throwIfCancelled();
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) yield chunk;
      else if (this.#isOver) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

const inboxes = new Map<number, Inbox>();

self.onmessage = ({ data: message }: MessageEvent<ToWorker>) => {
  const inbox = inboxes.get(message.id);
  if (message.kind === "task") void work(message.id, message.task);
  else if (message.kind === "chunk") inbox?.push(message.chunk);
  else if (message.kind === "end") inbox?.push(undefined);
  else inbox?.cancel();
};

function answer(message: FromWorker): void {
  self.postMessage(message);
}

async function work(id: number, task: Task): Promise<void> {
  const inbox = new Inbox();
  inboxes.set(id, inbox);
  try {
    const result = task.kind === "unpack" ? await unpack(id, task, inbox) : copyLayers(task.layers, task.target);
    answer({ id, kind: "done", result: result ?? undefined });
  } catch (thrown) {
    answer({ id, kind: "failed", message: messageOf(thrown) });
  } finally {
    inboxes.delete(id);
  }
}

async function unpack(id: number, task: UnpackTask, inbox: Inbox): Promise<UnpackResult> {
  const hash = new Bun.CryptoHasher("sha256");
  const source = new SourceTap(id, task.path === undefined ? inbox.chunks() : readFile(task.path, inbox), task.copyTo);
  const unpacker = new LayerUnpacker(task.directory, task.style);
  try {
    const reader = new TarReader(unpacker, { names: "latin1" });
    const format = await decompress(source.chunks(), (chunk) => {
      hash.update(chunk);
      reader.push(chunk);
    });
    reader.finish();
    if (format === "zstd" && !reader.hasEndMarker) throw new Error("unexpected EOF");
    unpacker.finish();
  } finally {
    unpacker.dispose();
    source.close();
  }
  return { diffId: `sha256:${hash.digest("hex")}`, size: unpacker.size, source: source.result() };
}

/** Passes the archive on as it comes, says how far it is, and keeps a copy where one is wanted. */
class SourceTap {
  readonly #id: number;
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #fd: number | undefined;
  readonly #hash: Bun.CryptoHasher | undefined;
  #size = 0;

  constructor(id: number, source: AsyncIterable<Uint8Array>, copyTo: string | undefined) {
    this.#id = id;
    this.#source = source;
    if (copyTo === undefined) return;
    this.#fd = openSync(copyTo, "wx", 0o600);
    this.#hash = new Bun.CryptoHasher("sha256");
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    for await (const chunk of this.#source) {
      this.#size += chunk.length;
      this.#hash?.update(chunk);
      if (this.#fd !== undefined)
        for (let done = 0; done < chunk.length; ) done += writeSync(this.#fd, chunk, done, chunk.length - done);
      yield chunk;
      answer({ id: this.#id, kind: "taken", bytes: chunk.length });
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }

  result(): { digest: string; size: number } | undefined {
    return this.#hash && { digest: `sha256:${this.#hash.digest("hex")}`, size: this.#size };
  }
}

async function* readFile(path: string, inbox: Inbox): AsyncGenerator<Uint8Array> {
  const fd = openSync(path, "r");
  try {
    for (let count = 1; ; count++) {
      // Messages, a cancel among them, are read only when the loop is given back.
      if (count % 16 === 0) await setImmediate();
      inbox.throwIfCancelled();
      // Fresh each time: the decompressor may still read the last one.
      const buffer = Buffer.allocUnsafeSlow(readBytes);
      const length = readSync(fd, buffer, 0, readBytes, null);
      if (length === 0) return;
      yield buffer.subarray(0, length);
    }
  } finally {
    closeSync(fd);
  }
}
