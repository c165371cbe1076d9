import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { readTar, type TarEntry, TarReader } from "./tar.ts";
import { headerChecksum } from "./tar-header.ts";
import { type NewTarEntry, tarEnd, tarHeader, tarPadding } from "./tar-writer.ts";

interface Read {
  entry: TarEntry;
  runs: { offset: number; text: string }[];
  ended: boolean;
}

function readAll(archive: Uint8Array, chunkBytes = archive.length, names: "utf8" | "latin1" = "utf8"): Read[] {
  const members: Read[] = [];
  const sink = {
    entry: (entry: TarEntry) => members.push({ entry, runs: [], ended: false }),
    data: (chunk: Uint8Array, offset: number) =>
      members.at(-1)!.runs.push({ offset, text: Buffer.from(chunk).toString() }),
    end: () => {
      members.at(-1)!.ended = true;
    },
  };
  const reader = new TarReader(sink, { names });
  for (let at = 0; at < archive.length; at += chunkBytes) reader.push(archive.subarray(at, at + chunkBytes));
  reader.finish();
  return members;
}

function archiveOf(...members: (NewTarEntry & { content?: string })[]): Buffer {
  const parts = members.flatMap(({ content = "", ...entry }) => [
    tarHeader({ ...entry, size: entry.size ?? content.length }),
    Buffer.from(content),
    tarPadding(content.length),
  ]);
  return Buffer.concat([...parts, tarEnd()]);
}

/** Changes a header's bytes and makes its checksum right again. */
function patch(archive: Buffer, offset: number, bytes: string): Buffer {
  const copy = Buffer.from(archive);
  copy.write(bytes, offset, "latin1");
  const sum = headerChecksum(copy.subarray(0, 512), false).toString(8).padStart(6, "0");
  copy.write(`${sum}\0 `, 148, "latin1");
  return copy;
}

describe("what the writer writes, the reader reads", () => {
  const long = `${"d/".repeat(200)}é`;
  const members = [
    { name: "dir/", type: "directory" as const, mode: 0o1777 },
    { name: "dir/hello", type: "file" as const, content: "hello", uid: 1000, gid: 2 ** 31, mtimeSeconds: 5 },
    { name: long, type: "symlink" as const, linkName: `../${long}` },
    { name: "old", type: "file" as const, content: "x".repeat(1500), mtimeSeconds: -2, mtimeNanos: 250_000_000 },
    { name: "null", type: "char" as const, devMajor: 1, devMinor: 3 },
    { name: "caps", type: "file" as const, xattrs: new Map([["security.capability", Buffer.from([0, 1, 10, 255])]]) },
  ];
  for (const chunkBytes of [1, 7, 512, 100_000])
    test(`in chunks of ${chunkBytes}`, () => {
      const read = readAll(archiveOf(...members), chunkBytes);
      expect(read.map(({ entry }) => entry.name)).toEqual(members.map(({ name }) => name));
      expect(read.every(({ ended }) => ended)).toBe(true);
      expect(read[0]!.entry).toMatchObject({ type: "directory", mode: 0o1777 });
      expect(read[1]!.entry).toMatchObject({ uid: 1000, gid: 2 ** 31, size: 5, mtimeSeconds: 5 });
      expect(read[1]!.runs.map(({ text }) => text).join("")).toBe("hello");
      expect(read[2]!.entry.linkName).toBe(`../${long}`);
      expect(read[3]!.entry).toMatchObject({ size: 1500, mtimeSeconds: -2, mtimeNanos: 250_000_000 });
      expect(read[4]!.entry).toMatchObject({ type: "char", devMajor: 1, devMinor: 3 });
      expect(read[5]!.entry.xattrs?.get("security.capability")).toEqual(Buffer.from([0, 1, 10, 255]));
    });

  test("pax record lengths that count their own digits", () => {
    for (let length = 80; length < 120; length++) {
      const name = "é".repeat(length);
      expect(readAll(archiveOf({ name, type: "file" }))[0]!.entry.name).toBe(name);
    }
  });
});

describe("archives of GNU tar", () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "brig-tar-"));
    writeFileSync(join(directory, "sparse"), "start");
    truncateSync(join(directory, "sparse"), 1024 * 1024);
    writeFileSync(join(directory, "sparse"), "middle", { flag: "r+" });
    writeFileSync(join(directory, `${"n".repeat(150)}`), "long");
    writeFileSync(join(directory, "hole"), "");
    truncateSync(join(directory, "hole"), 65536);
    // Many runs: the old format needs a second map.
    const manyPath = join(directory, "many");
    writeFileSync(manyPath, "");
    truncateSync(manyPath, 64 * 65536);
    const many = Bun.spawnSync([
      "sh",
      "-c",
      `for i in $(seq 0 2 60); do printf run$i | dd of=${manyPath} bs=65536 seek=$i conv=notrunc status=none; done`,
    ]);
    expect(many.exitCode).toBe(0);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const formats = [["gnu"], ["posix", "0.0"], ["posix", "0.1"], ["posix", "1.0"]];
  for (const [format, sparse] of formats)
    test(`${format} ${sparse ?? ""}, with holes and long names`, async () => {
      const options = sparse === undefined ? [] : [`--sparse-version=${sparse}`];
      const { stdout } = Bun.spawnSync(["tar", "-S", `--format=${format}`, ...options, "-cC", directory, "."]);
      for (const chunkBytes of [1000, 1_000_000]) {
        const read = readAll(stdout, chunkBytes);
        const byName = new Map(read.map((member) => [member.entry.name, member]));
        expect(byName.get(`./${"n".repeat(150)}`)?.runs[0]?.text).toBe("long");
        expect(byName.get("./sparse")?.entry.size).toBe(1024 * 1024);
        expect(byName.get("./hole")?.entry.size).toBe(65536);
        expect(byName.get("./many")?.entry.size).toBe(64 * 65536);
      }
      async function* source() {
        yield stdout;
      }
      for await (const { entry, body } of readTar(source())) {
        if (entry.type !== "file") continue;
        expect(
          Buffer.from(await new Response(body as never).arrayBuffer()).equals(
            readFileSync(join(directory, entry.name)),
          ),
        ).toBe(true);
      }
    });
});

describe("what is not well-formed", () => {
  const plain = archiveOf({ name: "a", type: "file", content: "hello" });
  const refused = (archive: Uint8Array, message: RegExp | string) => expect(() => readAll(archive)).toThrow(message);

  test("cut off in a header, in data, in a pax header", () => {
    refused(plain.subarray(0, 300), "unexpected EOF");
    refused(plain.subarray(0, 514), "unexpected EOF");
    refused(archiveOf({ name: "x".repeat(200), type: "file" }).subarray(0, 1024), "unexpected EOF");
  });
  test("no end marker, trailing garbage, an empty stream", () => {
    expect(readAll(plain.subarray(0, 1024))).toHaveLength(1);
    expect(readAll(Buffer.concat([plain, Buffer.from("garbage")]))).toHaveLength(1);
    expect(readAll(new Uint8Array(0))).toHaveLength(0);
  });
  test("a wrong checksum, and no tar at all", () => {
    const wrong = Buffer.from(plain);
    wrong[0]! ^= 1;
    refused(wrong, "wrong checksum");
    refused(Buffer.alloc(2048, "<html>"), /invalid tar header/);
  });
  test("negative, huge and nonsense numbers", () => {
    refused(patch(plain, 124, `\xff${"\xff".repeat(11)}`), "negative size");
    refused(patch(plain, 124, `\x80\x7f${"\xff".repeat(10)}`), "too large");
    refused(patch(plain, 124, "77777777x777"), "not a number");
    refused(patch(plain, 108, `\xff${"\xff".repeat(7)}`), "uid is out of range");
  });
  test("a size in base 256", () => {
    const archive = patch(plain, 124, `\x80${"\0".repeat(10)}\x05`);
    expect(readAll(archive)[0]!.entry.size).toBe(5);
  });
  test("an unknown type", () => refused(patch(plain, 156, "Z"), "unhandled tar header type 90"));
  test("names of 100 kB", () => {
    refused(archiveOf({ name: "n".repeat(100_000), type: "file" }), "too long");
    const gnu = Buffer.concat([patch(archiveOf({ name: "././@LongLink", type: "file", size: 100_000 }), 156, "L")]);
    refused(gnu, "too long");
  });
  test("a pax header without end", () => {
    refused(patch(archiveOf({ name: "p", type: "file", size: 2 ** 30 }), 156, "x"), "too long");
  });
  test("malformed pax records", () => {
    for (const body of ["5 a=b", "999 a=b\n", "x a=b\n", "6 ab=\n".slice(0, 5), "-6 a=b\n"])
      refused(patch(archiveOf({ name: "p", type: "file", content: body }), 156, "x"), "malformed pax record");
  });
  test("a sparse map that lies", () => {
    const pax = (map: string, size: string) =>
      [`GNU.sparse.map=${map}`, `GNU.sparse.size=${size}`]
        .map((record) => `${record.length + 4 + (record.length + 4 > 99 ? 1 : 0)} ${record}\n`)
        .join("");
    const archive = (map: string, size = "100") => {
      const body = pax(map, size);
      const head = patch(archiveOf({ name: "p", type: "file", content: body }), 156, "x").subarray(0, 1024);
      return Buffer.concat([head, plain]);
    };
    expect(readAll(archive("10,5"))[0]!.runs).toEqual([{ offset: 10, text: "hello" }]);
    refused(archive("10,5,5,0"), "out of order");
    refused(archive("98,5"), "out of order");
    refused(archive("10,4"), "does not match");
    refused(archive("10,5,5"), "malformed sparse map");
    refused(archive("-1,55"), "not a valid number");
  });
});

test("holes and names of any bytes, as they are written", () => {
  const runs = [
    { offset: 10, length: 5 },
    { offset: 1_000_000_000_000, length: 3 },
  ];
  const name = Buffer.from("odd-\xe9", "latin1").toString("latin1");
  const entry: NewTarEntry = { name, type: "file", size: 1_000_000_000_100 };
  const stored = Buffer.from("hellonow");
  const archive = Buffer.concat([
    tarHeader(entry, { names: "latin1", runs }),
    stored,
    tarPadding(stored.length),
    tarEnd(),
  ]);
  const [read] = readAll(archive, archive.length, "latin1");
  expect([read!.entry.name, read!.entry.size]).toEqual([name, 1_000_000_000_100]);
  expect(read!.runs).toEqual([
    { offset: 10, text: "hello" },
    { offset: 1_000_000_000_000, text: "now" },
  ]);
  const path = join(mkdtempSync(join(tmpdir(), "brig-tar-")), "sparse.tar");
  writeFileSync(path, archive);
  const listed = Bun.spawnSync(["tar", "--quoting-style=escape", "-tvf", path]).stdout.toString();
  expect(listed).toContain(" 1000000000100 ");
  expect(listed).toContain("odd-\\351");
  rmSync(dirname(path), { recursive: true });
});

test("readTar skips what nobody reads", async () => {
  const archive = archiveOf(
    { name: "a", type: "file", content: "x".repeat(5000) },
    { name: "b", type: "file", content: "body" },
  );
  async function* source() {
    for (let at = 0; at < archive.length; at += 700) yield archive.subarray(at, at + 700);
  }
  const seen: string[] = [];
  for await (const { entry, body } of readTar(source())) {
    if (entry.name === "b") seen.push(await new Response(body as never).text());
    else seen.push(entry.name);
  }
  expect(seen).toEqual(["a", "body"]);
});
