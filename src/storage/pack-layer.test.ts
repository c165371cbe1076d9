/** Packing trees that are hostile, or change while they are read. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { O_DIRECTORY, O_PATH } from "../kernel/files.ts";
import { TarReader } from "../lib/tar.ts";
import { membersOfTree, packBytes, packTar } from "../trees/pack.ts";
import { listChanges } from "./changes.ts";
import { membersOfLayer } from "./pack-layer.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "brig-pack-"));
  mkdirSync(join(root, "tree"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const changedTree = () => ({
  ...{ directory: join(root, "tree"), lowers: [], style: "overlay" as const },
  ...{ ignored: [], scaffold: [] },
});

/** The archive of the tree, whole. */
function archive(): Buffer {
  const fd = openSync(join(root, "tree"), O_PATH | O_DIRECTORY);
  try {
    return Buffer.concat([...packTar(membersOfTree(fd), { isKept: true })]);
  } finally {
    closeSync(fd);
  }
}

function namesIn(bytes: Uint8Array): string[] {
  const names: string[] = [];
  const reader = new TarReader({ entry: ({ name }) => void names.push(name), data() {}, end() {} });
  reader.push(bytes);
  reader.finish();
  return names;
}

test("a path that is too long for the kernel is an error, however deep", () => {
  const name = "d".repeat(200);
  const script = `import os\nos.chdir("${root}/tree")\nfor i in range(30): os.mkdir("${name}"); os.chdir("${name}")`;
  expect(Bun.spawnSync(["python3", "-c", script]).exitCode).toBe(0);
  expect(archive).toThrow("File name too long");
  expect(() => [...listChanges(changedTree())]).toThrow("File name too long");
  Bun.spawnSync(["rm", "-rf", join(root, "tree")]);
});

test("pieces are full but for the last, whatever the sizes of files are", () => {
  for (const [index, size] of [
    0,
    1,
    511,
    512,
    513,
    packBytes - 1536,
    packBytes - 512,
    packBytes,
    3 * packBytes,
  ].entries())
    writeFileSync(join(root, "tree", `f${index}`), Buffer.alloc(size, index));
  const pieces = [...packTar(membersOfLayer(changedTree()), { isKept: true })].map(({ length }) => length);
  expect(pieces.slice(0, -1).every((length) => length === packBytes)).toBe(true);
  writeFileSync(join(root, "all.tar"), archive());
  const compared = Bun.spawnSync(["tar", "-df", join(root, "all.tar"), "-C", join(root, "tree")]);
  expect([compared.exitCode, compared.stdout.toString()]).toEqual([0, ""]);
});

test("a file that shrinks or grows while it is read keeps the archive whole", () => {
  for (const [name, then] of [
    ["shrinks", 100],
    ["grows", 5 * packBytes],
  ] as const) {
    const path = join(root, "tree", name);
    writeFileSync(path, Buffer.alloc(3 * packBytes, "x"));
    writeFileSync(join(root, "tree/z"), "after");
    const pieces: Buffer[] = [];
    for (const piece of packTar(membersOfLayer(changedTree()), { isKept: true })) {
      if (pieces.length === 0) writeFileSync(path, Buffer.alloc(then, "y"));
      pieces.push(piece);
    }
    expect(namesIn(Buffer.concat(pieces))).toEqual([name, "z"]);
    rmSync(path);
  }
});

test("a name that begins like a whiteout is left out of a layer, and kept in an export", () => {
  for (const name of [".wh.x", ".wh..wh..opq", "kept"]) writeFileSync(join(root, "tree", name), "");
  expect(namesIn(Buffer.concat([...packTar(membersOfLayer(changedTree()), { isKept: true })]))).toEqual(["kept"]);
  expect(namesIn(archive())).toEqual([".wh..wh..opq", ".wh.x", "kept"]);
});

test("nobody leads a walk out of its tree", async () => {
  mkdirSync(join(root, "outside"));
  writeFileSync(join(root, "outside/secret"), "the secret");
  mkdirSync(join(root, "tree/a/b"), { recursive: true });
  symlinkSync(join(root, "outside"), join(root, "tree/link"));
  symlinkSync(join(root, "outside/secret"), join(root, "tree/file-link"));
  // Directories and files that turn into links and back, as fast as that goes.
  const swap = `cd "${root}/tree"; mkdir -p real; echo own >real/secret; ln -s "${root}/outside" fake; echo own >plain
    ln -s "${root}/outside/secret" planted; while :; do mv -T real x; mv -T fake real; mv -T real fake; mv -T x real
    mv plain y; mv planted plain; mv plain planted; mv y plain; done`;
  const attacker = Bun.spawn(["sh", "-c", swap], { stderr: "ignore" });
  try {
    for (let count = 0; count < 300; count++) expect(archive().includes("the secret")).toBe(false);
  } finally {
    attacker.kill();
    await attacker.exited;
  }
  expect(readFileSync(join(root, "outside/secret"), "utf8")).toBe("the secret");
  expect(statSync(join(root, "outside")).isDirectory()).toBe(true);
});
