/** How large a layer may be when it is decompressed. */

const FLOOR_BYTES = 16 * 1024 ** 3;
const MOST_COMPRESSED = 200;

/**
 * The limit that was set or, where that is 0, one that follows from the compressed size: no honest layer is both so large
 * and so well compressed, and what is was made to fill a disk.
 */
export function layerLimitBytes(setBytes: number, compressedBytes: number): number {
  return setBytes || Math.max(FLOOR_BYTES, MOST_COMPRESSED * compressedBytes);
}
