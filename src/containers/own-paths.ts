/** What in a container's root file system is the engine's: it is no change of the container's, and in no layer. */
import type { NewTarEntry } from "../lib/tar-writer.ts";
import type { OwnPaths } from "../storage/rootfs.ts";

/** Mount points that the runtime makes where the image has none. A volume's is a change, as in Docker. */
export const ownPaths: OwnPaths = {
  ignored: [".dockerenv", "dev", "proc", "sys", "etc/hostname", "etc/hosts", "etc/resolv.conf"],
  scaffold: ["etc"],
};

/** What every export has in the place of what is mounted, as Docker's. `created` is RFC 3339. */
export function placeholders(created: string): NewTarEntry[] {
  const mtimeSeconds = Math.floor(Date.parse(created) / 1000);
  const directory = (name: string): NewTarEntry => ({ name, type: "directory", mtimeSeconds });
  const file = (name: string): NewTarEntry => ({ name, type: "file", mode: 0o755, mtimeSeconds });
  return [
    ...["dev", "dev/pts", "dev/shm", "etc", "proc", "sys"].map(directory),
    ...["dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"].map(file),
    { name: "etc/mtab", type: "symlink", linkName: "/proc/mounts", mode: 0o777, mtimeSeconds },
  ];
}
