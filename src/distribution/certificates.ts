/** Certificates for single registries, in directories of their name (docs.docker.com, "Verify repository client"). */
import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { invalidParameter } from "../lib/errors.ts";

/** PEM texts. */
export interface Certificates {
  /** Trusted beside the system's. */
  authorities: string[];
  /** Shown to servers that ask for one. */
  clients: { certificate: string; key: string }[];
}

const directories = ["/etc/brig/certs.d", "/etc/docker/certs.d"];

/**
 * What `<directory>/<host[:port]>/` holds, in the first of the directories that has it: `*.crt` are authorities, `*.cert`
 * with `*.key` the client's own. Undefined where there is none. Throws invalidParameter where half of a pair is missing.
 */
export function certificatesFor(host: string, roots = directories): Certificates | undefined {
  for (const root of roots) {
    const directory = join(root, host);
    const names = namesIn(directory);
    if (names !== undefined) return readCertificates(directory, names);
  }
  return undefined;
}

function namesIn(directory: string): string[] | undefined {
  try {
    return readdirSync(directory).sort();
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw invalidParameter(`cannot read the certificates in ${directory}: ${message}`);
  }
}

function readCertificates(directory: string, names: string[]): Certificates {
  const found: Certificates = { authorities: [], clients: [] };
  const read = (name: string) => readFileSync(join(directory, name), "utf8");
  const other = (name: string, extension: string) => name.slice(0, -extname(name).length) + extension;
  for (const name of names) {
    switch (extname(name)) {
      case ".crt":
        found.authorities.push(read(name));
        break;
      case ".cert": {
        const key = other(name, ".key");
        if (!names.includes(key))
          throw invalidParameter(
            `missing key ${key} for client certificate ${name}. CA certificates must use the extension .crt`,
          );
        found.clients.push({ certificate: read(name), key: read(key) });
        break;
      }
      case ".key": {
        const certificate = other(name, ".cert");
        if (!names.includes(certificate))
          throw invalidParameter(`missing client certificate ${certificate} for key ${name}`);
      }
    }
  }
  return found;
}
