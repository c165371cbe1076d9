/** Paths of the API that hold names. */

/** `/containers/NAME` and what follows. Throws where the name is empty: that path would mean something else. */
export function containerPath(name: string, rest = ""): string {
  if (name.trim() === "") throw new Error("invalid container name or ID: value is empty");
  return `/containers/${encodeURIComponent(name.trim())}${rest}`;
}
