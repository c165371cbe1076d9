/** gzip for layers that came uncompressed. */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";

/**
 * Half as long as level 6 takes, and 6 % larger: 121 MB of Debian become 52.9 MB in 0.94 s, instead of 50.1 MB in
 * 2.1 s. Level 1 takes 0.62 s, but is 25 % larger.
 */
const LEVEL = 2;
const outputBytes = 256 * 1024;

/** Hands the compressed bytes of `source` to `take`, in order; the same bytes for the same source. */
export async function compress(source: AsyncIterable<Uint8Array>, take: (chunk: Uint8Array) => void): Promise<void> {
  await pipeline(Readable.from(source), createGzip({ level: LEVEL, chunkSize: outputBytes }), async (output) => {
    for await (const chunk of output) take(chunk as Uint8Array);
  });
}
