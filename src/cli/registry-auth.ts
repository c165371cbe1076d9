/** What config.json knows about a registry, as the API's X-Registry-Auth header carries it. */
import type { ConfigFile } from "../client/config-file.ts";

/** Docker Hub's key in config.json. */
const HUB_KEY = "https://index.docker.io/v1/";

/** Headers for a request that makes the engine talk to the registry; none where nothing is known. */
export function registryAuthHeaders(config: ConfigFile, domain: string): Record<string, string> {
  const key = domain === "docker.io" ? HUB_KEY : domain;
  const auths = config.auths ?? {};
  const found = Object.keys(auths).find(
    (name) => name === key || name.replace(/^https?:\/\//, "").split("/")[0] === domain,
  );
  const entry = found === undefined ? undefined : auths[found];
  if (entry === undefined) return {};
  const [username = "", ...password] = Buffer.from(entry.auth ?? "", "base64")
    .toString("utf8")
    .split(":");
  const auth = {
    ...(username === "" ? {} : { username, password: password.join(":").replace(/\0+$/, "") }),
    ...(entry.identitytoken ? { identitytoken: entry.identitytoken } : {}),
    ...(entry.registrytoken ? { registrytoken: entry.registrytoken } : {}),
    serveraddress: key,
  };
  return { "X-Registry-Auth": Buffer.from(JSON.stringify(auth)).toString("base64url") };
}
