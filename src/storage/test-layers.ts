/** Archives for tests. */
import { type NewTarEntry, tarEnd, tarHeader, tarPadding } from "../lib/tar-writer.ts";

/** A member of a test archive: `content` makes it a file of that length. */
export type TestMember = NewTarEntry & { content?: string | Uint8Array };

/** An archive of all members, plain. */
export function makeTar(members: TestMember[]): Buffer {
  const parts = members.flatMap(({ content = "", ...entry }) => {
    const data = Buffer.from(content);
    return [tarHeader({ ...entry, size: entry.size ?? data.length }), data, tarPadding(data.length)];
  });
  return Buffer.concat([...parts, tarEnd()]);
}

export const file = (name: string, content: string | Uint8Array = "", more: Partial<TestMember> = {}): TestMember => ({
  name,
  type: "file",
  content,
  ...more,
});

export const directory = (name: string, more: Partial<TestMember> = {}): TestMember => ({
  name,
  type: "directory",
  ...more,
});

/** A stream of `bytes` in pieces of `chunkBytes`. */
export async function* stream(bytes: Uint8Array, chunkBytes = 65536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}
