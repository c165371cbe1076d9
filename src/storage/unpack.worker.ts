/** Entry of a storage worker: a thread that unpacks, compresses and copies layers, several at a time where they wait for data. */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { SyscallError } from "../kernel/libc.ts";
import { mount } from "../kernel/mount.ts";
import { messageOf } from "../lib/errors.ts";
import { TarReader } from "../lib/tar.ts";
import { Extractor } from "../trees/extract.ts";
import { compress } from "./compress.ts";
import { copyLayers } from "./copy.ts";
import { decompress } from "./decompress.ts";
import { layerLimitBytes } from "./layer-limit.ts";
import { changesOf, packLayer, sendArchive } from "./pack-tasks.ts";
import { LayerUnpacker } from "./unpack.ts";
import type {
  AnyResult,
  AppendTask,
  CompressTask,
  CopiedBytes,
  CopyTarget,
  ExtractTask,
  FromWorker,
  HashTask,
  MountResult,
  MountTask,
  ReceiveTask,
  Task,
  ToWorker,
  UnpackResult,
  UnpackTask,
} from "./worker-protocol.ts";

declare const self: Worker;

const readBytes = 256 * 1024;
/** So much is taken before it is told, unless it comes slowly. It has to be less than what may be on its way here. */
const takenBytes = 256 * 1024;
const takenMs = 50;

/** What came for a task and is not read yet. */
class Inbox {
  readonly #chunks: Uint8Array[] = [];
  #isOver = false;
  #isCancelled = false;
  #wanted = 0;
  #wake = () => {};

  push(chunk: Uint8Array | undefined): void {
    if (chunk === undefined) this.#isOver = true;
    else this.#chunks.push(chunk);
    this.#wake();
  }

  grant(count: number): void {
    this.#wanted += count;
    this.#wake();
  }

  /** Resolves when one more piece of output is wanted. */
  async wanted(): Promise<void> {
    for (this.throwIfCancelled(); this.#wanted === 0; this.throwIfCancelled())
      await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wanted--;
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
  else if (message.kind === "more") inbox?.grant(message.count);
  else inbox?.cancel();
};

function answer(message: FromWorker): void {
  self.postMessage(message);
}

async function work(id: number, task: Task): Promise<void> {
  const inbox = new Inbox();
  inboxes.set(id, inbox);
  try {
    answer({ id, kind: "done", result: await perform(id, task, inbox) });
  } catch (thrown) {
    answer({ id, kind: "failed", message: messageOf(thrown), isMismatch: thrown instanceof MismatchError });
  } finally {
    inboxes.delete(id);
  }
}

async function perform(id: number, task: Task, inbox: Inbox): Promise<AnyResult> {
  switch (task.kind) {
    case "unpack":
      return unpack(id, task, inbox);
    case "receive":
      return receive(id, task, inbox);
    case "compress":
      return compressFile(id, task, inbox);
    case "append":
      await append(id, task, inbox);
      return undefined;
    case "hash":
      return hashFile(task, inbox);
    case "copy":
      copyLayers(task.layers, task.target);
      return undefined;
    case "pack":
      return packLayer(task, inbox);
    case "changes":
      return changesOf(task, inbox);
    case "extract":
      await extract(id, task, inbox);
      return undefined;
    case "mount":
      return mountFor(task);
    case "export":
    case "archive":
      await sendArchive(task, inbox, (chunk) => {
        const message: FromWorker = { id, kind: "output", chunk };
        self.postMessage(message, [chunk.buffer as ArrayBuffer]);
      });
      return undefined;
  }
}

async function unpack(id: number, task: UnpackTask, inbox: Inbox): Promise<UnpackResult> {
  const hash = new Bun.CryptoHasher("sha256");
  const copy = task.copyTo && new Copy(task.copyTo);
  const chunks = task.path === undefined ? inbox.chunks() : readFile(task.path, inbox);
  const source = tapped(id, chunks, copy, inbox);
  let hasSourceFailed = false;
  let readBytes = 0;
  let unpackedBytes = 0;
  // Not the generator itself: its reader may leave early, and what is left is still to be read.
  const next = () =>
    source.next().then(
      (result) => {
        readBytes += result.value?.length ?? 0;
        return result;
      },
      (thrown) => {
        hasSourceFailed = true;
        throw thrown;
      },
    );
  const unpacker = new LayerUnpacker(task.directory, task.style);
  try {
    const reader = new TarReader(unpacker, { names: "latin1" });
    const format = await decompress({ [Symbol.asyncIterator]: () => ({ next }) }, (chunk) => {
      unpackedBytes += chunk.length;
      const limitBytes = layerLimitBytes(task.limitBytes, readBytes);
      if (unpackedBytes > limitBytes) throw new Error(`the layer has more than ${limitBytes} bytes (max-layer-size)`);
      hash.update(chunk);
      reader.push(chunk);
    });
    reader.finish();
    if (format === "zstd" && !reader.hasEndMarker) throw new Error("unexpected EOF");
    unpacker.finish();
    for await (const _ of source); // What follows the end of a compressed stream belongs to the blob all the same.
    copy?.verify();
  } catch (thrown) {
    inbox.throwIfCancelled();
    if (hasSourceFailed || isDiskFull(thrown) || thrown instanceof MismatchError || task.copyTo?.expected === undefined)
      throw thrown;
    // Bytes that are not those that were asked for explain best why they do not unpack.
    for await (const _ of source);
    // It may have failed while the unpacker did: then not all of it came, and that is no lie of the source.
    if (!hasSourceFailed) copy!.verify();
    throw thrown;
  } finally {
    unpacker.dispose();
    copy?.close();
  }
  return { diffId: `sha256:${hash.digest("hex")}`, size: unpacker.size, source: copy?.result };
}

async function receive(id: number, { copyTo }: ReceiveTask, inbox: Inbox): Promise<CopiedBytes> {
  const copy = new Copy(copyTo);
  try {
    for await (const _ of tapped(id, inbox.chunks(), copy, inbox));
    copy.verify();
    return copy.result;
  } finally {
    copy.close();
  }
}

async function compressFile(id: number, { path, copyTo }: CompressTask, inbox: Inbox): Promise<CopiedBytes> {
  const copy = new Copy(copyTo);
  try {
    await compress(tapped(id, readFile(path, inbox), undefined, inbox), (chunk) => copy.write(chunk));
    return copy.result;
  } finally {
    copy.close();
  }
}

function mountFor({ source, target, fstype, flags, data }: MountTask): MountResult {
  try {
    mount(source, target, fstype, flags, data);
    return { errno: 0 };
  } catch (thrown) {
    if (thrown instanceof SyscallError) return { errno: thrown.errno };
    throw thrown;
  }
}

async function extract(id: number, { target }: ExtractTask, inbox: Inbox): Promise<void> {
  const extractor = new Extractor(target);
  try {
    const reader = new TarReader(extractor, { names: "latin1" });
    await decompress(tapped(id, inbox.chunks(), undefined, inbox), (chunk) => reader.push(chunk));
    reader.finish();
    extractor.finish();
  } finally {
    extractor.dispose();
  }
}

async function append(id: number, { path, offset }: AppendTask, inbox: Inbox): Promise<void> {
  const fd = openSync(path, "r+");
  try {
    let position = offset;
    for await (const chunk of inbox.chunks()) {
      for (let done = 0; done < chunk.length; )
        done += writeSync(fd, chunk, done, chunk.length - done, position + done);
      position += chunk.length;
      answer({ id, kind: "taken", bytes: chunk.length, isEarlier: false });
    }
  } finally {
    closeSync(fd);
  }
}

async function hashFile({ path, algorithm }: HashTask, inbox: Inbox): Promise<CopiedBytes> {
  const hash = new Bun.CryptoHasher(algorithm);
  let size = 0;
  for await (const chunk of readFile(path, inbox)) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { digest: `${algorithm}:${hash.digest("hex")}`, size };
}

const isDiskFull = (thrown: unknown) => (thrown as { code?: string }).code === "ENOSPC";

/** What came is not what was to come. */
class MismatchError extends Error {}

/** The file that keeps the bytes as they come, and their hash. */
class Copy {
  readonly #target: CopyTarget;
  readonly #fd: number;
  readonly #hash = new Bun.CryptoHasher("sha256");
  #size = 0;
  #digest: string | undefined;

  constructor(target: CopyTarget) {
    this.#target = target;
    this.#fd = openSync(target.path, target.resumeFrom > 0 ? "r+" : "w+", 0o600);
  }

  /** What an earlier attempt left in the file. */
  *earlier(): Generator<Uint8Array> {
    while (this.#size < this.#target.resumeFrom) {
      const length = Math.min(readBytes, this.#target.resumeFrom - this.#size);
      // Fresh each time: the decompressor may still read the last one.
      const buffer = Buffer.allocUnsafeSlow(length);
      const read = readSync(this.#fd, buffer, 0, length, this.#size);
      if (read === 0) throw new MismatchError("what was left of an earlier attempt has become shorter");
      const chunk = buffer.subarray(0, read);
      this.#hash.update(chunk);
      this.#size += read;
      yield chunk;
    }
  }

  write(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    for (let done = 0; done < chunk.length; )
      done += writeSync(this.#fd, chunk, done, chunk.length - done, this.#size + done);
    this.#size += chunk.length;
  }

  /** Throws where not all came that was expected, or something else. */
  verify(): void {
    const { expected } = this.#target;
    if (expected === undefined) return;
    const { digest, size } = this.result;
    if (size !== expected.size) throw new MismatchError(`unexpected size ${size}, expected ${expected.size}`);
    if (digest !== expected.digest) throw new MismatchError(`unexpected digest ${digest}, expected ${expected.digest}`);
  }

  get result(): CopiedBytes {
    this.#digest ??= `sha256:${this.#hash.digest("hex")}`;
    return { digest: this.#digest, size: this.#size };
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** The bytes as they come, those of an earlier attempt first: kept by `copy`, and each reported as taken afterwards. */
async function* tapped(
  id: number,
  source: AsyncIterable<Uint8Array>,
  copy: Copy | undefined,
  inbox: Inbox,
): AsyncGenerator<Uint8Array> {
  for (const chunk of copy?.earlier() ?? []) {
    inbox.throwIfCancelled();
    yield chunk;
    answer({ id, kind: "taken", bytes: chunk.length, isEarlier: true });
    await setImmediate();
  }
  let bytes = 0;
  let toldAtMs = 0;
  const tell = () => {
    if (bytes > 0) answer({ id, kind: "taken", bytes, isEarlier: false });
    bytes = 0;
    toldAtMs = performance.now();
  };
  for await (const chunk of source) {
    copy?.write(chunk);
    yield chunk;
    bytes += chunk.length;
    if (bytes >= takenBytes || performance.now() - toldAtMs > takenMs) tell();
  }
  tell();
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
