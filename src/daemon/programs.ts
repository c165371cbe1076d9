/** Where the programs that Brig runs are. */
import { isAbsolute } from "node:path";

/** Also where Debian keeps them: a daemon may be started with a PATH that lacks sbin. */
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Absolute path of a program; /usr/bin/<name> where there is none, so that the error names a path. */
export function programPath(name: string): string {
  if (isAbsolute(name)) return name;
  return Bun.which(name, { PATH: `${process.env.PATH ?? ""}:${searchPath}` }) ?? `/usr/bin/${name}`;
}

/** An init for `--init`, statically linked so that it runs in any image: tini, under the names distributions give it, or catatonit. */
export function findInit(): string {
  const names = ["docker-init", "tini-static", "catatonit"];
  const found = names.map((name) => Bun.which(name, { PATH: `${searchPath}:/usr/libexec/podman:/usr/lib/podman` }));
  return found.find((path) => path !== null) ?? "/usr/bin/tini-static";
}
