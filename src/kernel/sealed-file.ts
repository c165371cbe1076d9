/** Executables that nobody can write to any more: memfd_create(2), and fcntl(2)'s file seals. */
import { closeSync, readFileSync, writeSync } from "node:fs";
import { bindLibc, check, cstring } from "./libc.ts";

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const MFD_EXEC = 0x10;
const F_ADD_SEALS = 1033;
/** Seal, shrink, grow, write. */
const allSeals = 0xf;

const libc = bindLibc({
  memfd_create: { args: ["ptr", "u32"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
});

/**
 * Copies a file into memory and seals the copy. Returns the descriptor, which is closed on exec: others run it as
 * `/proc/<our pid>/fd/<descriptor>`. Throws SyscallError, or Node's errors where the file cannot be read.
 */
export function sealedCopy(path: string, name: string): number {
  const content = readFileSync(path);
  const fd = memoryFile(name);
  try {
    for (let offset = 0; offset < content.length; ) offset += writeSync(fd, content, offset);
    check(libc.fcntl(fd, F_ADD_SEALS, allSeals), "fcntl", name);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function memoryFile(name: string): number {
  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const title = cstring(name);
  const fd = libc.memfd_create(title, flags | MFD_EXEC);
  // Before Linux 6.3 every such file is executable, and the flag unknown.
  return fd >= 0 ? fd : check(libc.memfd_create(title, flags), "memfd_create", name);
}
