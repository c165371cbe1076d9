/** The environment of a container's process. */

/** PATH where neither image nor user say one. */
export const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Puts `changes` over `base`: NAME=value sets, a bare NAME takes away. The last of several wins; order stays. */
export function mergeEnvironment(base: readonly string[], changes: readonly string[]): string[] {
  const values = new Map<string, string>();
  const nameOf = (entry: string) => entry.slice(0, entry.indexOf("="));
  for (const entry of base) if (entry.includes("=")) values.set(nameOf(entry), entry);
  for (const entry of changes)
    if (entry.includes("=")) values.set(nameOf(entry), entry);
    else values.delete(entry);
  return [...values.values()];
}

/**
 * What Docker gives every process, under what the container's configuration says (`configured`).
 * `hostname` is what the process sees as its own; `home` the user's home directory.
 */
export function containerEnvironment(
  configured: readonly string[],
  process: { hostname: string; home: string; tty: boolean },
): string[] {
  const base = [`PATH=${defaultPath}`, `HOSTNAME=${process.hostname}`];
  if (process.tty) base.push("TERM=xterm");
  const environment = mergeEnvironment(base, configured);
  return environment.some((entry) => entry.startsWith("HOME="))
    ? environment
    : [...environment, `HOME=${process.home}`];
}
