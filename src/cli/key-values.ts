/** `KEY=VALUE` in its many forms: environments, labels, files of them. */

const byteOrderMark = "\ufeff";

/** Both sides of the first `=`; `value` is undefined where there is none. */
export function cut(text: string, separator = "="): [key: string, value: string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}

/** A record of `KEY=VALUE` texts; without `=` the value is empty, and the last of a key wins. */
export function recordOf(texts: string[]): Record<string, string> {
  return Object.fromEntries(texts.map((text) => cut(text)).map(([key, value]) => [key, value ?? ""]));
}

/** One of `-e`: a bare name takes its value from the environment, and stays bare where that has none. */
export function parseEnv(text: string): string {
  const [name, value] = cut(text);
  if (name === "") throw new Error(`invalid environment variable: ${text}`);
  if (value !== undefined) return text;
  const inherited = process.env[name];
  return inherited === undefined ? text : `${name}=${inherited}`;
}

/** One of `-l`. */
export function parseLabel(text: string): string {
  const name = cut(text)[0].trimStart();
  if (name === "") throw new Error(`invalid label '${text}': empty name`);
  if (/\s/.test(name)) throw new Error(`label '${name}' contains whitespaces`);
  return text;
}

/** The variables of files; a bare name takes its value from the environment, and is left out where that has none. */
export async function readEnvFiles(paths: string[]): Promise<string[]> {
  return (await Promise.all(paths.map((path) => readKeyValueFile(path, (name) => process.env[name])))).flat();
}

/** The labels of files; what has no `=` is left out. */
export async function readLabelFiles(paths: string[]): Promise<string[]> {
  return (await Promise.all(paths.map((path) => readKeyValueFile(path, () => undefined)))).flat();
}

async function readKeyValueFile(path: string, inheritedFor: (name: string) => string | undefined): Promise<string[]> {
  const refuse = (reason: string) => new Error(`invalid env file (${path}): ${reason}`);
  let bytes: Buffer;
  try {
    bytes = Buffer.from(await Bun.file(path).arrayBuffer());
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EISDIR") throw refuse(`read ${path}: is a directory`);
    throw new Error(openFailure(path, code));
  }
  const lines: string[] = [];
  for (const [index, raw] of splitLines(bytes).entries()) {
    let line: string;
    try {
      line = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw);
    } catch {
      throw refuse(`invalid utf8 bytes at line ${index + 1}: [${raw.join(" ")}]`);
    }
    if (index === 0 && line.startsWith(byteOrderMark)) line = line.slice(1);
    line = line.trimStart();
    if (line === "" || line.startsWith("#")) continue;
    const [name, value] = cut(line);
    if (name === "") throw refuse(`no variable name on line '${line}'`);
    if (/\s/.test(name)) throw refuse(`variable '${name}' contains whitespaces`);
    const inherited = value === undefined ? inheritedFor(name) : undefined;
    if (value !== undefined) lines.push(line);
    else if (inherited !== undefined) lines.push(`${name}=${inherited}`);
  }
  return lines;
}

function splitLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    const newline = bytes.indexOf(10, at);
    const end = newline < 0 ? bytes.length : newline;
    lines.push(bytes.subarray(at, end > at && bytes[end - 1] === 13 ? end - 1 : end));
    at = end + 1;
  }
  return lines;
}

/** Why a file could not be opened, as Go says it. */
export function openFailure(path: string, code: string | undefined): string {
  const reasons: Record<string, string> = {
    ENOENT: "no such file or directory",
    EACCES: "permission denied",
    EISDIR: "is a directory",
    ENOTDIR: "not a directory",
  };
  return `open ${path}: ${reasons[code ?? ""] ?? code ?? "failed"}`;
}
