/** Takes apart the stream that carries stdout and stderr together: frames with a head of eight bytes. */

const headBytes = 8;
const errorStream = 3;

/** Bytes of one of the two streams. */
export interface StreamPart {
  stream: 1 | 2;
  bytes: Uint8Array;
}

/**
 * Splits a multiplexed stream. Parts that follow each other on the same stream within one read come as one, so that
 * a log of short lines costs a write for each read and not for each line. Throws what the engine reports in the
 * stream, and "unexpected EOF" where the stream ends inside a frame's head.
 */
export async function* demultiplex(source: AsyncIterable<Uint8Array>): AsyncGenerator<StreamPart> {
  let rest: Uint8Array = new Uint8Array(0);
  /** What is still to come of the frame that has begun. */
  let frameLeft = 0;
  let stream = 1;
  for await (const chunk of source) {
    const bytes: Uint8Array = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    // The payloads of one read are moved together in place: they never grow, so none is overwritten unread.
    let kept = 0;
    let keptStream = stream;
    let start = 0;
    let at = 0;
    while (at < bytes.length) {
      if (frameLeft === 0) {
        if (bytes.length - at < headBytes) break;
        stream = bytes[at]!;
        frameLeft = ((bytes[at + 4]! << 24) | (bytes[at + 5]! << 16) | (bytes[at + 6]! << 8) | bytes[at + 7]!) >>> 0;
        at += headBytes;
        if (stream !== keptStream) {
          if (kept > 0) yield part(keptStream, bytes.subarray(start, start + kept));
          keptStream = stream;
          start = at;
          kept = 0;
        }
        continue;
      }
      const size = Math.min(frameLeft, bytes.length - at);
      if (kept === 0) start = at;
      else bytes.copyWithin(start + kept, at, at + size);
      kept += size;
      at += size;
      frameLeft -= size;
    }
    rest = at < bytes.length ? bytes.slice(at) : new Uint8Array(0);
    if (kept > 0) yield part(keptStream, bytes.subarray(start, start + kept));
  }
  if (rest.length > 0) throw new Error("unexpected EOF");
}

function part(stream: number, bytes: Uint8Array): StreamPart {
  if (stream === errorStream) throw new Error(`error from daemon in stream: ${Buffer.from(bytes).toString("utf8")}`);
  if (stream > errorStream) throw new Error(`Unrecognized input header: ${stream}`);
  return { stream: stream === 2 ? 2 : 1, bytes };
}
