/** What the user's configuration knows about a registry, as the API's X-Registry-Auth header carries it. */
import type { ConfigFile } from "../client/config-file.ts";
import { credentialsFor, type RegistryCredentials, registryKey } from "../client/credentials.ts";

/** Headers for a request that makes the engine talk to the registry; none where nothing is known. */
export async function registryAuthHeaders(config: ConfigFile, domain: string): Promise<Record<string, string>> {
  const key = registryKey(domain);
  const known = await credentialsFor(config, key);
  if (known === undefined) return {};
  return { "X-Registry-Auth": encodeAuth(known, key) };
}

function encodeAuth({ username, password, ...tokens }: RegistryCredentials, serveraddress: string): string {
  const auth = { ...(username === "" ? {} : { username, password }), ...tokens, serveraddress };
  return Buffer.from(JSON.stringify(auth)).toString("base64url");
}
