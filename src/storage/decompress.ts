/** Undoes gzip and zstd while a stream goes by; anything else passes as it is. */
import { createGunzip, createZstdDecompress } from "node:zlib";
import { messageOf } from "../lib/errors.ts";

type Inflater = ReturnType<typeof createGunzip> | ReturnType<typeof createZstdDecompress>;

const outputBytes = 256 * 1024;
/** So many first bytes formatOf() needs. */
export const magicBytes = 6;

const unsupported = [
  { name: "bzip2", magic: Buffer.from("BZh") },
  { name: "xz", magic: Buffer.from("\xfd7zXZ\0", "latin1") },
];

/**
 * Hands the decompressed bytes of `source` to `take`, in order. While `take` works on one chunk, a thread of the
 * runtime's pool decompresses the next. Throws `unexpected EOF` where a compressed stream is cut off, and whatever
 * `take` or `source` throws. Returns the format; the runtime does not notice where "zstd" is cut off.
 */
export async function decompress(
  source: AsyncIterable<Uint8Array>,
  take: (chunk: Uint8Array) => void,
): Promise<"plain" | "gzip" | "zstd"> {
  const input = source[Symbol.asyncIterator]();
  try {
    let head: Uint8Array = new Uint8Array(0);
    while (head.length < magicBytes) {
      const { done, value } = await input.next();
      if (done === true) break;
      head = head.length === 0 ? value : Buffer.concat([head, value]);
    }
    const format = formatOf(head);
    if (format === "plain") {
      if (head.length > 0) take(head);
      for (;;) {
        const { done, value } = await input.next();
        if (done === true) return "plain";
        take(value);
      }
    }
    const inflater =
      format === "gzip" ? createGunzip({ chunkSize: outputBytes }) : createZstdDecompress({ chunkSize: outputBytes });
    await inflate(inflater, head, input, take);
    return format;
  } finally {
    await input.return?.();
  }
}

/** How a stream that begins so is compressed. Throws where it is in a way that cannot be undone here. */
export function formatOf(head: Uint8Array): "plain" | "gzip" | "zstd" {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return "gzip";
  // A zstd stream begins with a frame or, as pzstd and seekable variants write, with one that is to be skipped.
  const word = bytes.length < 4 ? 0 : bytes.readUInt32LE(0);
  if (word === 0xfd2fb528 || (word & 0xfffffff0) >>> 0 === 0x184d2a50) return "zstd";
  for (const { name, magic } of unsupported)
    if (bytes.subarray(0, magic.length).equals(magic))
      throw new Error(`archives compressed with ${name} are not supported: use gzip or zstd`);
  return "plain";
}

async function inflate(
  inflater: Inflater,
  head: Uint8Array,
  input: AsyncIterator<Uint8Array>,
  take: (chunk: Uint8Array) => void,
): Promise<void> {
  const queue: Buffer[] = [];
  let failure: unknown;
  let isOver = false;
  let wake = () => {};
  let written = () => {};
  inflater.on("data", (chunk: Buffer) => {
    queue.push(chunk);
    wake();
  });
  inflater.on("end", () => {
    isOver = true;
    wake();
  });
  inflater.on("error", (error) => {
    failure = readable(error);
    wake();
    // A write that fails is never answered.
    written();
  });
  // From here and not from the "data" listener, for the inflater goes on only after its listeners have returned.
  const consume = async () => {
    for (;;) {
      const chunk = queue.shift();
      if (chunk !== undefined) take(chunk);
      else if (failure !== undefined) throw failure;
      else if (isOver) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  };
  const produce = async () => {
    for (let chunk: Uint8Array | undefined = head; chunk !== undefined; ) {
      await new Promise<void>((resolve) => {
        written = resolve;
        inflater.write(chunk, () => resolve());
      });
      if (failure !== undefined || inflater.destroyed) return;
      const { done, value }: IteratorResult<Uint8Array> = await input.next();
      chunk = done === true ? undefined : value;
    }
    inflater.end();
  };
  try {
    await Promise.all([consume(), produce()]);
  } finally {
    inflater.destroy();
  }
}

function readable(error: unknown): Error {
  const { code } = error as { code?: string };
  if (code === "Z_BUF_ERROR" || /unexpected end/.test(messageOf(error))) return new Error("unexpected EOF");
  return new Error(`cannot decompress: ${messageOf(error)}`);
}
