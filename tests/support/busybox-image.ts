/** The image of tests and benchmarks: Debian's static busybox under all its names. */
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Writes a root file system with busybox as a tar to `path`, and returns `path`. */
export async function buildBusyboxTar(path: string): Promise<string> {
  const root = mkdtempSync(join(tmpdir(), "brig-image-"));
  try {
    for (const dir of ["bin", "sbin", "usr/bin", "usr/sbin", "etc", "proc", "sys", "dev", "root", "tmp", "www"])
      mkdirSync(join(root, dir), { recursive: true });
    copyFileSync("/bin/busybox", join(root, "bin/busybox"));
    chmodSync(join(root, "tmp"), 0o1777);
    const applets = Bun.spawnSync(["/bin/busybox", "--list-full"]).stdout.toString().trim().split("\n");
    for (const applet of applets)
      if (applet !== "bin/busybox") {
        try {
          symlinkSync("/bin/busybox", join(root, applet));
        } catch {
          // An applet in a directory that the image does not have.
        }
      }
    writeFileSync(
      join(root, "etc/passwd"),
      "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    );
    writeFileSync(join(root, "etc/group"), "root:x:0:\nusers:x:100:\nnogroup:x:65534:\n");
    const tar = Bun.spawn(["tar", "--numeric-owner", "--owner=0", "--group=0", "-C", root, "-cf", path, "."]);
    if ((await tar.exited) !== 0) throw new Error("tar failed");
    return path;
  } finally {
    rmSync(root, { recursive: true });
  }
}
