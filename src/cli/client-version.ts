/** What the command line says of itself. */

/** Brig's own version. */
export const brigVersion = "0.1.0";

/** The version of Docker's command line whose words and output this one speaks; scripts decide by it. */
export const dockerVersion = "28.2.2";

/** The version a program of that name reports. */
export function reportedVersion(program: string): string {
  return program === "docker" ? dockerVersion : brigVersion;
}

/** The machine's architecture in Go's words. */
export function goArch(): string {
  return { x64: "amd64", arm64: "arm64", ia32: "386", arm: "arm" }[process.arch as string] ?? process.arch;
}
