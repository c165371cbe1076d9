import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StateDatabase } from "../state/database.ts";
import { Volumes } from "../volumes/volumes.ts";
import type { ContainerConfig, HostConfig, MountPoint } from "../wire/engine-api.ts";
import { resolveMounts, toOciMounts } from "./mounts.ts";

const directory = mkdtempSync(join(tmpdir(), "brig-mounts-"));
const db = new StateDatabase(join(directory, "state.db"));
const volumes = new Volumes({ db, root: join(directory, "volumes"), events: { publish() {} } });
const rootfs = join(directory, "rootfs");
mkdirSync(rootfs);
afterAll(() => {
  db.close();
  rmSync(directory, { recursive: true });
});

const others: Record<string, MountPoint[]> = {};
const resolve = async (hostConfig: HostConfig, config: ContainerConfig = {}) =>
  resolveMounts(config, hostConfig, {
    volumes,
    volumesFrom: (name) => ({ mounts: others[name] ?? [] }),
    layersOf: () => [],
  }).mounts;
const stage = { bindSubpath: () => "", directory: () => "" };
const roots = { mountImage() {} };

test("binds, volumes, tmpfs as inspect shows them", async () => {
  const points = await resolve(
    {
      Binds: [`${directory}:/b:ro`, "named:/n", "/anonymous"],
      Mounts: [
        { Type: "tmpfs", Target: "/t", TmpfsOptions: { SizeBytes: 4096, Mode: 0o700 } },
        { Type: "bind", Source: directory, Target: "/m", ReadOnly: true },
      ],
      Tmpfs: { "/image/tmp": "" },
    },
    { Volumes: { "/image": {}, "/n": {}, "/image/tmp": {} } },
  );
  expect(
    points.map(({ Type, Destination, Mode, RW, Propagation }) => [Type, Destination, Mode, RW, Propagation]),
  ).toEqual([
    ["bind", "/b", "ro", false, "rprivate"],
    ["volume", "/n", "z", true, ""],
    ["volume", "/anonymous", "", true, ""],
    ["tmpfs", "/t", "", true, ""],
    ["bind", "/m", "", false, "rprivate"],
    ["volume", "/image", "", true, ""],
  ]);
  expect(points[1]).toMatchObject({ Name: "named", Driver: "local", Source: join(directory, "volumes/named/_data") });
  expect(points[2]!.Name).toMatch(/^[0-9a-f]{64}$/);
});

test("volumes of another container, read-only if asked, under one's own", async () => {
  others.web = await resolve({ Binds: ["shared:/s", `${directory}:/b`] });
  const points = await resolve({ VolumesFrom: ["web:ro"], Binds: ["own:/b"] });
  expect(points.map(({ Name, Destination, RW }) => [Name, Destination, RW])).toEqual([
    ["shared", "/s", false],
    ["own", "/b", true],
  ]);
});

test("a bind's source: made for -v, asked for by --mount", async () => {
  const missing = join(directory, "made/up");
  await expect(resolve({ Mounts: [{ Type: "bind", Source: missing, Target: "/x" }] })).rejects.toThrow(
    `invalid mount config for type "bind": bind source path does not exist: ${missing}`,
  );
  const hostConfig = { Binds: [`${missing}:/x`] };
  await toOciMounts(
    { id: "c", mounts: await resolve(hostConfig), hostConfig },
    rootfs,
    { volumes, rootfs: roots },
    stage,
  );
  expect(existsSync(missing)).toBe(true);
});

test("what the runtime gets, deeper ones later", async () => {
  const hostConfig: HostConfig = {
    Binds: [`${directory}:/a/b/c:ro`, "named:/a/b"],
    Mounts: [{ Type: "tmpfs", Target: "/a", TmpfsOptions: { SizeBytes: 4096, Mode: 0o700 } }],
    Tmpfs: { "/t/u": "exec,size=1m" },
  };
  const mounts = await toOciMounts(
    { id: "c", mounts: await resolve(hostConfig), hostConfig },
    rootfs,
    { volumes, rootfs: roots },
    stage,
  );
  expect(mounts.map(({ destination }) => destination)).toEqual(["/a", "/a/b", "/t/u", "/a/b/c"]);
  expect(mounts[0]).toMatchObject({
    type: "tmpfs",
    options: ["noexec", "nosuid", "nodev", "rprivate", "mode=700", "size=4096"],
  });
  expect(mounts[1]).toMatchObject({ type: "bind", source: volumes.pathOf("named"), options: ["rbind", "rprivate"] });
  expect(mounts[2]?.options).toEqual(["nosuid", "nodev", "rprivate", "exec", "size=1m"]);
  expect(mounts[3]?.options[2]).toMatch(/^rr?o$/);
});
