/** What every snapshot driver promises, checked with real layers, mounts and files. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lchown, mknod, O_DIRECTORY, O_PATH, S_IFCHR, S_IFIFO, splitDevice, utimensNs } from "../kernel/files.ts";
import { mount, readMounts, unmount } from "../kernel/mount.ts";
import { lgetxattr, llistxattr, lsetxattr } from "../kernel/xattr.ts";
import { StateDatabase } from "../state/database.ts";
import { type DriverName, selectDriver } from "./driver.ts";
import { LayerStore } from "./layers.ts";
import { RootfsStore } from "./rootfs.ts";
import { directory, file, makeTar, stream, type TestMember } from "./test-layers.ts";

/** Everything of storage on roots of its own. */
export class TestStorage {
  readonly dataRoot: string;
  readonly runRoot: string;
  readonly db: StateDatabase;
  readonly layers: LayerStore;
  readonly rootfs: RootfsStore;
  readonly #views = new Map<string, string[]>();

  constructor(
    readonly root: string,
    name: DriverName,
  ) {
    this.dataRoot = join(root, "data");
    this.runRoot = join(root, "run");
    mkdirSync(this.dataRoot, { recursive: true });
    this.db = new StateDatabase(join(root, "state.db"));
    const driver = selectDriver(name, this.dataRoot, this.db);
    this.layers = new LayerStore({ root: join(this.dataRoot, "layers"), db: this.db, driver });
    this.rootfs = new RootfsStore({ dataRoot: this.dataRoot, runRoot: this.runRoot, layers: this.layers, driver });
  }

  async layer(...members: TestMember[]): Promise<string> {
    const { diffId } = await this.layers.unpack(stream(makeTar(members)));
    return diffId;
  }

  /** A container's root over these layers. */
  async view(id: string, ...layers: TestMember[][]): Promise<string> {
    const diffIds: string[] = [];
    for (const members of layers) diffIds.push(await this.layer(...members));
    this.#views.set(id, diffIds);
    await this.rootfs.create(id, diffIds);
    return this.rootfs.mount(id, diffIds);
  }

  diffIdsOf(id: string): string[] {
    return this.#views.get(id) ?? [];
  }

  dispose(): void {
    for (const { mountPoint } of readMounts().toReversed())
      if (mountPoint.startsWith(`${this.root}/`)) unmount(mountPoint, true);
    this.db.close();
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** What the tests take for the engine's own. */
const own = { ignored: [".engine", "made/engine"], scaffold: ["made"] };

/** All that can be told of a tree below its root, in a form to compare. */
function describeTree(root: string): string[] {
  const names = new Map<bigint, string>();
  return readdirSync(root, { recursive: true, encoding: "buffer" })
    .map((name) => name as Buffer)
    .sort(Buffer.compare)
    .map((name) => {
      const path = Buffer.concat([Buffer.from(`${root}/`), name]);
      const { mode, uid, gid, rdev, size, mtimeNs, nlink, ino } = lstatSync(path, { bigint: true });
      const text = name.toString("latin1");
      const isDirectory = (mode & 0o170000n) === 0o040000n;
      // The directories' own times are those of the last change in them, which a copy's need not be.
      const facts = [text, mode.toString(8), uid, gid, rdev, isDirectory ? "" : `${size} ${mtimeNs} ${nlink}`];
      if (nlink > 1n && !isDirectory) facts.push(names.get(ino) ?? "first");
      if (!names.has(ino)) names.set(ino, text);
      if ((mode & 0o170000n) === 0o120000n) facts.push(readlinkSync(path, "latin1"));
      if ((mode & 0o170000n) === 0o100000n && size < 10_000_000n) facts.push(Bun.hash(readFileSync(path)).toString());
      if (/^[\x20-\x7e]*$/.test(text))
        for (const key of llistxattr(path.toString()).filter((key) => !key.includes("overlay.")))
          facts.push(`${key}=${lgetxattr(path.toString(), key)?.toString("hex")}`);
      return facts.join(" ");
    });
}

export function driverSuite(name: DriverName): void {
  describe(`driver ${name}`, () => {
    let storage: TestStorage;
    beforeEach(() => {
      storage = new TestStorage(mkdtempSync(join(tmpdir(), "brig-storage-")), name);
    });
    afterEach(() => storage.dispose());

    test("higher layers replace and merge, the container's writes stay its own", async () => {
      const layers = [
        [directory("etc"), file("etc/a", "1"), file("etc/b", "1"), file("top", "file")],
        [file("etc/b", "2"), directory("top"), file("top/x", "dir")],
      ];
      const one = await storage.view("one", ...layers);
      const two = await storage.view("two", ...layers);
      expect(readFileSync(join(one, "etc/a"), "utf8")).toBe("1");
      expect(readFileSync(join(one, "etc/b"), "utf8")).toBe("2");
      expect(readFileSync(join(one, "top/x"), "utf8")).toBe("dir");
      writeFileSync(join(one, "etc/a"), "changed");
      rmSync(join(one, "etc/b"));
      expect(readFileSync(join(two, "etc/a"), "utf8")).toBe("1");
      expect(existsSync(join(two, "etc/b"))).toBe(true);
      expect(statSync(one).mode & 0o7777).toBe(0o755);
    });

    test("the same layer several times counts where it is highest", async () => {
      const empty: TestMember[] = [];
      const twice = [directory("d"), file("d/a", "a"), file(".wh.gone"), file("f", "twice")];
      const between = [file(".wh.d"), file("f", "between"), file("between", "b")];
      const path = await storage.view(
        "c",
        empty,
        [directory("d"), file("d/hidden"), file("gone")],
        twice,
        between,
        twice,
        empty,
      );
      expect(readdirSync(path).sort()).toEqual(["between", "d", "f"]);
      expect(readdirSync(join(path, "d"))).toEqual(["a"]);
      expect(readFileSync(join(path, "f"), "utf8")).toBe("twice");
    });

    test("what was written is there after unmount and mount", async () => {
      const diffId = await storage.layer(file("a", "1"));
      await storage.rootfs.create("c", [diffId]);
      const path = storage.rootfs.mount("c", [diffId]);
      expect(storage.rootfs.mount("c", [diffId])).toBe(path);
      expect(readMounts().filter(({ mountPoint }) => mountPoint === path).length).toBeLessThanOrEqual(1);
      writeFileSync(join(path, "a"), "2");
      await storage.rootfs.create("c", [diffId]);
      storage.rootfs.unmount("c");
      storage.rootfs.unmount("c");
      expect(readFileSync(join(storage.rootfs.mount("c", [diffId]), "a"), "utf8")).toBe("2");
      expect(storage.rootfs.isMounted("c")).toBe(true);
    });

    test("whiteouts hide what lies below", async () => {
      const path = await storage.view(
        "c",
        [file("a"), directory("d"), file("d/x"), file("d/y"), file("keep")],
        [file(".wh.a"), file("d/.wh.x"), file(".wh..wh.aufs"), file(".wh.missing")],
      );
      expect(readdirSync(path).sort()).toEqual(["d", "keep"]);
      expect(readdirSync(join(path, "d"))).toEqual(["y"]);
    });

    test("opaque directories hide all that lies below", async () => {
      const path = await storage.view(
        "c",
        [directory("d"), file("d/x"), directory("d/sub"), file("d/sub/y")],
        [directory("d"), file("d/new"), file("d/.wh..wh..opq")],
      );
      expect(readdirSync(join(path, "d"))).toEqual(["new"]);
    });

    test("a whiteout beside the layer's own directory hides only what lies below", async () => {
      for (const [id, layer] of [
        ["before", [file(".wh.d"), directory("d"), file("d/new")]],
        ["after", [directory("d"), file("d/new"), file(".wh.d")]],
      ] as const) {
        const path = await storage.view(id, [directory("d"), file("d/old")], [...layer]);
        expect(readdirSync(join(path, "d"))).toEqual(["new"]);
      }
    });

    test("hard links, links, devices, pipes, owners, permissions, times, attributes", async () => {
      const time = { mtimeSeconds: 1_000_000_000, mtimeNanos: 123_456_789 };
      const path = await storage.view(
        "c",
        [],
        [
          directory("d", { mode: 0o2775, uid: 5, gid: 6, ...time }),
          file("d/a", "abc", { mode: 0o6755, uid: 1000, gid: 2 ** 31, ...time }),
          { name: "hard", type: "link", linkName: "d/a" },
          { name: "soft", type: "symlink", linkName: "/d/a", uid: 7, ...time },
          { name: "null", type: "char", devMajor: 1, devMinor: 3, mode: 0o666 },
          { name: "disk", type: "block", devMajor: 259, devMinor: 300 },
          { name: "pipe", type: "fifo" },
          file("caps", "x", {
            mode: 0o755,
            uid: 3,
            xattrs: new Map([
              ["security.capability", Buffer.from("0100000200200000000000000000000000000000", "hex")],
              ["user.note", Buffer.from("hello")],
              ["trusted.overlay.redirect", Buffer.from("/etc")],
            ]),
          }),
        ],
      );
      const a = lstatSync(join(path, "d/a"), { bigint: true });
      expect([a.mode & 0o7777n, a.uid, a.gid, a.nlink]).toEqual([0o6755n, 1000n, 2n ** 31n, 2n]);
      expect(a.mtimeNs).toBe(1_000_000_000_123_456_789n);
      expect(lstatSync(join(path, "hard"), { bigint: true }).ino).toBe(a.ino);
      const d = lstatSync(join(path, "d"), { bigint: true });
      expect([d.mode & 0o7777n, d.uid, d.gid, d.mtimeNs]).toEqual([0o2775n, 5n, 6n, 1_000_000_000_123_456_789n]);
      const soft = lstatSync(join(path, "soft"), { bigint: true });
      expect([soft.isSymbolicLink(), soft.uid, soft.mtimeNs]).toEqual([true, 7n, 1_000_000_000_123_456_789n]);
      const device = (of: string) => splitDevice(lstatSync(join(path, of), { bigint: true }).rdev);
      expect(device("null")).toEqual({ major: 1, minor: 3 });
      expect(device("disk")).toEqual({ major: 259, minor: 300 });
      expect(lstatSync(join(path, "pipe")).isFIFO()).toBe(true);
      expect(lgetxattr(join(path, "caps"), "security.capability")?.length).toBe(20);
      expect(lgetxattr(join(path, "caps"), "user.note")?.toString()).toBe("hello");
      expect(lgetxattr(join(path, "caps"), "trusted.overlay.redirect")).toBeUndefined();
    });

    test("holes stay holes", async () => {
      const source = join(storage.root, "source");
      mkdirSync(source);
      Bun.spawnSync(["sh", "-c", `truncate -s 1G ${source}/big; printf end >> ${source}/big`]);
      const archive = join(storage.root, "sparse.tar");
      Bun.spawnSync(["tar", "-S", "--format=posix", "-cf", archive, "-C", source, "big"]);
      const { diffId } = await storage.layers.unpack({ path: archive });
      await storage.rootfs.create("c", [diffId]);
      const facts = statSync(join(storage.rootfs.mount("c", [diffId]), "big"));
      expect(facts.size).toBe(2 ** 30 + 3);
      expect(facts.blocks * 512).toBeLessThan(1024 * 1024);
    });

    test("long names, names that are not UTF-8, deep paths without their parents", async () => {
      const long = "n".repeat(255);
      const deep = `${"deep/".repeat(100)}${long}`;
      const odd = makeTar([file("odd_", "odd")]);
      // A lone byte of Latin-1, and the checksum that goes with it.
      odd[3] = 0xe9;
      odd.write("\0\0\0\0\0\0\0\0", 148);
      const sum = odd.subarray(0, 512).reduce((all, byte) => all + byte, 8 * 32);
      odd.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
      const first = await storage.layer(file(deep, "deep"), file(long, "long"), file("größe", "ü"));
      const { diffId: second } = await storage.layers.unpack(stream(odd));
      await storage.rootfs.create("c", [first, second]);
      const path = storage.rootfs.mount("c", [first, second]);
      expect(readFileSync(join(path, deep), "utf8")).toBe("deep");
      expect(statSync(join(path, "deep/deep")).mode & 0o777).toBe(0o755);
      expect(readFileSync(join(path, long), "utf8")).toBe("long");
      expect(readFileSync(join(path, "größe"), "utf8")).toBe("ü");
      const oddName = Buffer.concat([Buffer.from(`${path}/odd`), Buffer.from([0xe9])]);
      expect(readFileSync(oddName, "utf8")).toBe("odd");
    });

    test("an image of 125 layers, and one of none", async () => {
      const diffIds: string[] = [];
      for (let index = 0; index < 125; index++)
        diffIds.push(await storage.layer(file("last", String(index)), file(`f${index}`)));
      await storage.rootfs.create("many", diffIds);
      const path = storage.rootfs.mount("many", diffIds);
      expect(readdirSync(path)).toHaveLength(126);
      expect(readFileSync(join(path, "last"), "utf8")).toBe("124");
      const empty = await storage.view("none");
      writeFileSync(join(empty, "a"), "");
      expect(readdirSync(empty)).toEqual(["a"]);
    });

    test("usage counts what the container wrote", async () => {
      const layer = [file("big", "x".repeat(100_000)), file("small", "abc")];
      const path = await storage.view("c", layer);
      const diffId = await storage.layer(...layer);
      expect(await storage.rootfs.usage("c")).toBe(0);
      expect(storage.rootfs.virtualSize([diffId])).toBe(100_003);
      // A file system's clock is coarse: let it go on.
      await Bun.sleep(20);
      writeFileSync(join(path, "new"), "12345");
      linkSync(join(path, "new"), join(path, "again"));
      mkdirSync(join(path, "sub"));
      chmodSync(join(path, "small"), 0o600);
      expect(await storage.rootfs.usage("c")).toBe(8);
    });

    test("changes are told as Docker tells them", async () => {
      const path = await storage.view(
        "c",
        [directory("etc"), file("etc/a", "1"), file("etc/same"), directory("gone"), file("gone/x")],
        [directory("home"), file("home/x"), directory("home/d"), file("home/d/y"), file("file"), directory("dir")],
        [
          file("dir/x"),
          directory("moded"),
          file("etc/lower"),
          directory("again"),
          file("again/kept", "k"),
          file(".wh.gone"),
        ],
      );
      const at = (name: string) => join(path, name);
      const diff = async () => {
        const changes = await storage.rootfs.changes("c", storage.diffIdsOf("c"), own);
        return changes.map(({ path, kind }) => `${"CAD"[kind]} ${path}`);
      };
      expect(await diff()).toEqual([]);
      await Bun.sleep(20);
      writeFileSync(at(".engine"), "");
      mkdirSync(at("made/engine"), { recursive: true });
      writeFileSync(at("made/engine/x"), "");
      expect(await diff()).toEqual([]);
      writeFileSync(at("etc/a"), "changed");
      // Copied up, and yet the same.
      chmodSync(at("etc/same"), statSync(at("etc/same")).mode);
      rmSync(at("etc/lower"));
      rmSync(at("home"), { recursive: true });
      mkdirSync(at("home/d"), { recursive: true });
      rmSync(at("file"));
      mkdirSync(at("file"));
      writeFileSync(at("file/new"), "");
      rmSync(at("dir"), { recursive: true });
      writeFileSync(at("dir"), "now a file");
      chmodSync(at("moded"), 0o700);
      renameSync(at("again/kept"), at("renamed"));
      mkdirSync(at("new/deep"), { recursive: true });
      symlinkSync("/etc", at("new/link"));
      mkdirSync(at("empty-again"));
      rmdirSync(at("empty-again"));
      expect(await diff()).toEqual([
        "C /again",
        "D /again/kept",
        "C /dir",
        "C /etc",
        "C /etc/a",
        "D /etc/lower",
        "C /file",
        "A /file/new",
        "C /home",
        "C /home/d",
        "D /home/d/y",
        "D /home/x",
        "C /moded",
        "A /new",
        "A /new/deep",
        "A /new/link",
        "A /renamed",
      ]);
    });

    test("a layer of the changes shows what the container shows", async () => {
      const lowers = [
        [directory("etc"), file("etc/a", "1"), file("etc/gone"), directory("home"), file("home/x"), file("file")],
        [directory("dir"), file("dir/x"), directory("home/d"), file("home/d/y"), directory("untouched"), file("kept")],
      ];
      const path = await storage.view("c", ...lowers);
      await Bun.sleep(20);
      const at = (name: string) => join(path, name);
      writeFileSync(at("etc/a"), "changed");
      // A change that neither length nor time betrays.
      const before = statSync(at("kept"), { bigint: true });
      writeFileSync(at("kept"), "");
      utimensNs(at("kept"), before.atimeNs, before.mtimeNs);
      rmSync(at("etc/gone"));
      rmSync(at("home"), { recursive: true });
      mkdirSync(at("home/d"), { recursive: true });
      rmSync(at("file"));
      mkdirSync(at("file"));
      rmSync(at("dir"), { recursive: true });
      writeFileSync(at("dir"), "now a file");
      chmodSync(at("untouched"), 0o1777);
      mkdirSync(at("new/deep"), { recursive: true, mode: 0o2750 });
      linkSync(at("etc/a"), at("new/hard"));
      symlinkSync("/nowhere", at("new/soft"));
      lchown(at("new/soft"), 5, 6);
      mknod(at("new/null"), S_IFCHR | 0o622, 1, 3);
      mknod(at("new/pipe"), S_IFIFO | 0o600, 0, 0);
      writeFileSync(at("new/größe"), "ü");
      writeFileSync(Buffer.concat([Buffer.from(at("new/odd")), Buffer.from([0xe9])]), "odd");
      writeFileSync(at(`new/${"n".repeat(255)}`), "long");
      writeFileSync(at("new/caps"), "x".repeat(3_000_000), { mode: 0o755 });
      lsetxattr(at("new/caps"), "security.capability", Buffer.from("0100000200200000000000000000000000000000", "hex"));
      lsetxattr(at("new"), "user.note", Buffer.from("hello"));
      Bun.spawnSync([
        "sh",
        "-c",
        'cd "$1"; truncate -s 2G sparse; printf end >>sparse; truncate -s 1G hole',
        "",
        at("new"),
      ]);
      utimensNs(at("new/deep"), 0n, 1_000_000_000_123_456_789n);
      writeFileSync(at(".engine"), "");

      const copyTo = join(storage.root, "layer.tar");
      const diffIds = storage.diffIdsOf("c");
      const { diffId, copy } = await storage.rootfs.pack("c", diffIds, own, { copyTo });
      expect(copy).toEqual({ digest: diffId, size: statSync(copyTo).size });
      expect(copy.size).toBeLessThan(5_000_000);
      rmSync(at(".engine"));
      await storage.rootfs.create("copy", [...diffIds, diffId]);
      const shown = storage.rootfs.mount("copy", [...diffIds, diffId]);
      expect(describeTree(shown)).toEqual(describeTree(path));
      expect(statSync(join(shown, "new/sparse")).blocks).toBeLessThan(200);

      // The archive alone makes the same layer.
      await storage.layers.remove(diffId);
      await storage.layers.unpack({ path: copyTo }, { diffId });
      await storage.rootfs.create("again", [...diffIds, diffId]);
      expect(describeTree(storage.rootfs.mount("again", [...diffIds, diffId]))).toEqual(describeTree(path));
    });

    test("a layer of no changes is empty; one that fails leaves nothing", async () => {
      const path = await storage.view("c", [directory("etc"), file("etc/a", "1")]);
      const copyTo = join(storage.root, "layer.tar");
      const pack = () => storage.rootfs.pack("c", storage.diffIdsOf("c"), own, { copyTo });
      const { diffId } = await pack();
      expect(diffId).toBe("sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef");
      rmSync(copyTo);
      symlinkSync("../../out", join(path, "climbs"));
      await expect(pack()).rejects.toThrow('invalid symlink "climbs" -> "../../out"');
      expect(readdirSync(join(storage.dataRoot, "layers/tmp"))).toEqual([]);
    });

    test("an export is the whole root, with placeholders for what is mounted", async () => {
      const path = await storage.view(
        "c",
        [directory("etc"), file("etc/hosts", "image's"), file("gone"), directory("dev")],
        [file(".wh.gone"), file("b", "b", { mode: 0o4755, uid: 7, gid: 8 })],
      );
      linkSync(join(path, "b"), join(path, "hard"));
      Bun.spawnSync(["truncate", "-s", "10G", join(path, "sparse")]);
      writeFileSync(join(path, "big"), Buffer.alloc(9_000_000, "x"));
      const archive = join(storage.root, "export.tar");
      const out = openSync(archive, "w");
      const root = openSync(path, O_PATH | O_DIRECTORY);
      let largest = 0;
      await storage.rootfs.export(
        root,
        [
          { name: "dev", type: "directory" },
          { name: "dev/console", type: "file", mode: 0o755 },
          { name: "etc/hosts", type: "file", mode: 0o755 },
          { name: "proc", type: "directory" },
        ],
        (piece) => {
          largest = Math.max(largest, piece.length);
          writeSync(out, piece);
        },
      );
      closeSync(out);
      closeSync(root);
      expect(largest).toBeLessThanOrEqual(1 << 20);
      const listed = Bun.spawnSync(["tar", "--numeric-owner", "-tvf", archive]).stdout.toString().trim().split("\n");
      const short = listed.map((line) => line.replace(/ +/g, " ").replace(/ \S+ \S+ (?=\S+( link to \S+)?$)/, " "));
      expect(short).toEqual([
        "-rwsr-xr-x 7/8 1 b",
        "-rw-r--r-- 0/0 9000000 big",
        "drwxr-xr-x 0/0 0 dev/",
        "drwxr-xr-x 0/0 0 etc/",
        "hrwsr-xr-x 7/8 0 hard link to b",
        "-rw-r--r-- 0/0 10737418240 sparse",
        "-rwxr-xr-x 0/0 0 dev/console",
        "-rwxr-xr-x 0/0 0 etc/hosts",
        "drwxr-xr-x 0/0 0 proc/",
      ]);
    });

    test("an export stops when its taker does", async () => {
      const path = await storage.view("c", []);
      writeFileSync(join(path, "big"), Buffer.alloc(30_000_000));
      const root = openSync(path, O_PATH | O_DIRECTORY);
      let pieces = 0;
      const take = async () => {
        if (++pieces === 3) throw new Error("enough");
      };
      const thrown: unknown = await storage.rootfs.export(root, [], take).catch((error) => error);
      expect(String(thrown)).toBe("Error: enough");
      expect(pieces).toBe(3);
      closeSync(root);
    });

    test("remove leaves nothing and can be repeated", async () => {
      const path = await storage.view("c", [file("a")]);
      mkdirSync(join(path, "sub"));
      await storage.rootfs.remove("c");
      await storage.rootfs.remove("c");
      expect(readdirSync(join(storage.dataRoot, "containers"))).toEqual([]);
      expect(readMounts().some(({ mountPoint }) => mountPoint.startsWith(storage.root))).toBe(false);
    });

    test("mend takes away what a crash left", async () => {
      await storage.view("live", [file("a")]);
      await storage.view("dead", [file("a")]);
      const gone = await storage.layer(file("gone"));
      const layersRoot = join(storage.dataRoot, "layers");
      rmSync(storage.layers.pathOf(gone), { recursive: true });
      mkdirSync(join(layersRoot, "f".repeat(64), "usr"), { recursive: true });
      mkdirSync(join(layersRoot, "tmp/half/usr"), { recursive: true });
      await storage.layers.mend();
      await storage.rootfs.mend(new Set(["live"]));
      expect(storage.layers.has(gone)).toBe(false);
      const kept = readdirSync(layersRoot).filter((entry) => entry !== "tmp");
      expect(kept).toEqual([(await storage.layer(file("a"))).slice(7)]);
      expect(readdirSync(join(layersRoot, "tmp"))).toEqual([]);
      expect(readdirSync(join(storage.dataRoot, "containers"))).toEqual(["live"]);
      expect(storage.rootfs.isMounted("live")).toBe(true);
      expect(readMounts().some(({ mountPoint }) => mountPoint.includes("/dead/"))).toBe(false);
    });

    test("a crash between rename and row does no harm", async () => {
      const archive = makeTar([file("a", "1")]);
      const { diffId } = await storage.layers.unpack(stream(archive));
      await storage.layers.remove(diffId);
      mkdirSync(storage.layers.pathOf(diffId));
      writeFileSync(join(storage.layers.pathOf(diffId), "stale"), "");
      await storage.layers.unpack(stream(archive), { diffId });
      expect(readdirSync(storage.layers.pathOf(diffId))).toEqual(["a"]);
    });

    test("a full disk is a clear error and leaves nothing", async () => {
      writeFileSync(join(await storage.view("c", []), "big"), Buffer.alloc(3_000_000));
      mount("tmpfs", storage.layers.pathOf(`sha256:${"0".repeat(64)}`).replace(/0{64}$/, "tmp"), "tmpfs", 0, "size=1m");
      const big = makeTar([file("a", "x".repeat(3_000_000))]);
      const failed: unknown = await storage.layers.unpack(stream(big)).catch((error) => error);
      expect(String(failed)).toMatch(/No space left on device/i);
      await storage.layers.unpack(stream(big)).catch(() => {});
      const temporary = join(storage.dataRoot, "layers/tmp");
      expect(readdirSync(temporary)).toEqual([]);
      const packing = storage.rootfs.pack("c", storage.diffIdsOf("c"), own, {
        copyTo: join(storage.root, "layer.tar"),
      });
      const thrown: unknown = await packing.catch((error) => error);
      expect(String(thrown)).toContain("No space left on device");
      expect(readdirSync(temporary)).toEqual([]);
    });
  });
}
