/** Who the user is to registries: config.json's `auths`, and helpers that keep secrets (docker-credential-…). */
import { type ConfigFile, writeConfigFile } from "./config-file.ts";

/** What a registry is told. A token stands in a password's place. */
export interface RegistryCredentials {
  username: string;
  password: string;
  /** A refresh token. */
  identitytoken?: string;
  /** A token to be sent as it is. */
  registrytoken?: string;
}

/** Docker Hub's key in config.json. */
export const hubKey = "https://index.docker.io/v1/";
/** User name under which helpers keep identity tokens. */
const tokenUser = "<token>";
const notFoundText = "credentials not found in native keychain";
const helperPatienceMs = 60_000;
const answerLimitBytes = 1 << 20;

/** The key of a reference's domain, or of what a person calls a server. */
export function registryKey(server: string): string {
  const host = hostOf(server);
  return ["docker.io", "index.docker.io", "registry-1.docker.io"].includes(host) ? hubKey : host;
}

/** `https://host:5000/v1/` → `host:5000` */
export const hostOf = (address: string) => address.replace(/^https?:\/\//, "").split("/")[0]!;

/** The helper that keeps the credentials of a registry; undefined where config.json does itself. */
export function helperFor(config: ConfigFile, key: string): string | undefined {
  return config.credHelpers?.[key] || config.credsStore || undefined;
}

/** What is known for a key; undefined where that is nothing. A helper that fails counts as one that knows nothing. */
export async function credentialsFor(config: ConfigFile, key: string): Promise<RegistryCredentials | undefined> {
  const helper = helperFor(config, key);
  if (helper === undefined) return credentialsInFile(config, key);
  try {
    const { Username = "", Secret = "" } = JSON.parse(await askHelper(helper, "get", key)) as Record<string, string>;
    if (Username === tokenUser) return { username: "", password: "", identitytoken: Secret };
    return Username === "" && Secret === "" ? undefined : { username: Username, password: Secret };
  } catch {
    return undefined;
  }
}

function credentialsInFile({ auths = {} }: ConfigFile, key: string): RegistryCredentials | undefined {
  const name = Object.hasOwn(auths, key) ? key : Object.keys(auths).find((other) => hostOf(other) === hostOf(key));
  const entry = name === undefined ? undefined : auths[name];
  if (entry === undefined || entry === null) return undefined;
  const { auth = "", identitytoken, registrytoken } = entry;
  const [username = "", ...password] = Buffer.from(auth, "base64").toString("utf8").split(":");
  if (username === "" && !identitytoken && !registrytoken) return undefined;
  return {
    username,
    password: password.join(":").replace(/\0+$/, ""),
    ...(identitytoken ? { identitytoken } : {}),
    ...(registrytoken ? { registrytoken } : {}),
  };
}

/** Keeps credentials for a key, with the helper or in config.json. Throws where the helper fails. */
export async function storeCredentials(
  configDir: string,
  config: ConfigFile,
  key: string,
  { username, password, identitytoken }: RegistryCredentials,
): Promise<void> {
  const helper = helperFor(config, key);
  const auths = { ...config.auths };
  if (helper === undefined) {
    const auth = Buffer.from(`${username}:${password}`).toString("base64");
    auths[key] = identitytoken ? { auth: Buffer.from(`${username}:`).toString("base64"), identitytoken } : { auth };
  } else {
    const [Username, Secret] = identitytoken ? [tokenUser, identitytoken] : [username, password];
    await askHelper(helper, "store", JSON.stringify({ ServerURL: key, Username, Secret }));
    auths[key] = {};
  }
  writeConfigFile(configDir, { ...config, auths });
}

/** Forgets what is known for a key. Throws where the helper fails; config.json has forgotten it then. */
export async function eraseCredentials(configDir: string, config: ConfigFile, key: string): Promise<void> {
  const auths = { ...config.auths };
  // Older clients wrote the same server with a scheme.
  for (const name of Object.keys(auths)) if (name === key || hostOf(name) === key) delete auths[name];
  writeConfigFile(configDir, { ...config, auths });
  const helper = helperFor(config, key);
  if (helper === undefined) return;
  const names = key === hubKey ? [key] : [key, `http://${key}`, `https://${key}`];
  for (const name of names) await askHelper(helper, "erase", name);
}

/**
 * Runs `docker-credential-NAME VERB` with `input` on its stdin, and returns what it prints. Throws what it says, or why
 * it could not be run.
 */
async function askHelper(name: string, verb: "get" | "store" | "erase", input: string): Promise<string> {
  const program = `docker-credential-${name}`;
  // A name with a slash would be another program than one on the PATH.
  const path = name.includes("/") ? null : Bun.which(program);
  if (path === null) throw new Error(`exec: ${JSON.stringify(program)}: executable file not found in $PATH, out: \`\``);
  const child = Bun.spawn([path, verb], {
    stdin: Buffer.from(input),
    stdout: "pipe",
    stderr: "inherit",
    timeout: helperPatienceMs,
    killSignal: "SIGKILL",
  });
  const text = await readAtMost(child.stdout);
  const code = await child.exited;
  if (code === 0) return text;
  const said = text.trim();
  throw new Error(said === notFoundText ? notFoundText : `exit status ${code}, out: \`${said}\``);
}

async function readAtMost(stream: ReadableStream<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > answerLimitBytes) throw new Error("the credential helper's answer is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
