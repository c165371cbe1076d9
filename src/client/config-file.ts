/** The user's config.json: `~/.docker/config.json`, shared with the docker command line. */

/** What of config.json is understood; whatever else it holds is kept as it is. */
export interface ConfigFile {
  auths?: Record<string, { auth?: string; identitytoken?: string; registrytoken?: string; email?: string }>;
  HttpHeaders?: Record<string, string>;
  psFormat?: string;
  imagesFormat?: string;
  networksFormat?: string;
  volumesFormat?: string;
  statsFormat?: string;
  detachKeys?: string;
  credsStore?: string;
  credHelpers?: Record<string, string>;
  currentContext?: string;
  /** Proxy settings by daemon host or `default`, which run and build hand to containers. */
  proxies?: Record<string, Record<string, string>>;
}

/** `DOCKER_CONFIG`, or `.docker` in the user's home. */
export function defaultConfigDir(env: Record<string, string | undefined>): string {
  if (env.DOCKER_CONFIG) return env.DOCKER_CONFIG;
  return `${env.HOME || "/root"}/.docker`;
}

/**
 * Reads `config.json` of the directory. A missing file is an empty configuration; an unreadable one is reported to
 * `warn` and counts as empty, so that a broken file never locks the user out.
 */
export async function readConfigFile(configDir: string, warn: (line: string) => void): Promise<ConfigFile> {
  const path = `${configDir}/config.json`;
  let text: string;
  try {
    // Not node:fs: every command reads this file, and few need anything else of that module.
    text = await Bun.file(path).text();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT" && code !== "ENOTDIR") warn(`WARNING: Error loading config file: ${path}: ${message}`);
    return {};
  }
  try {
    const parsed: unknown = text.trim() === "" ? {} : JSON.parse(text);
    if (parsed !== null && typeof parsed === "object" && !Array.isArray(parsed)) return parsed as ConfigFile;
    throw new Error("not an object");
  } catch (error) {
    warn(`WARNING: Error parsing config file (${path}): ${(error as Error).message}`);
    return {};
  }
}

/** Writes config.json anew, whole or not at all. It may hold secrets, so only its owner may read it. */
export function writeConfigFile(configDir: string, config: ConfigFile): void {
  const { mkdirSync, renameSync, writeFileSync } = process.getBuiltinModule("node:fs");
  mkdirSync(configDir, { recursive: true, mode: 0o700 });
  const path = `${configDir}/config.json`;
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify(config, null, "\t"), { mode: 0o600 });
  renameSync(temporary, path);
}
