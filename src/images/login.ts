/** POST /auth: whether a registry takes somebody's credentials. */
import { askInTurn, type Endpoint, type ImageSettings, originsOf } from "../distribution/endpoints.ts";
import { readAtMost, send } from "../distribution/http.ts";
import { type Credentials, parseChallenge } from "../distribution/registry-auth.ts";
import { type RegistryError, registryError } from "../distribution/registry-errors.ts";
import { BrigError, invalidParameter, systemError, unauthorized } from "../lib/errors.ts";

const answerLimitBytes = 1 << 20;
const hubNames = new Set(["", "docker.io", "index.docker.io", "registry-1.docker.io"]);

export interface LoginRequest extends Credentials {
  /** `https://index.docker.io/v1/`, `127.0.0.1:5000`; empty for Docker Hub. */
  serveraddress?: string;
}

/** Returns the token to be kept in the password's place, empty where there is none. Throws in Docker's words. */
export async function login(settings: ImageSettings, request: LoginRequest): Promise<string> {
  const host = hostOf(request.serveraddress ?? "");
  const domain = hubNames.has(host) ? "docker.io" : host;
  return askInTurn(originsOf(domain, settings), (endpoint) => loginAt(endpoint, request));
}

/** Throws invalidParameter for what cannot be a registry's name. */
function hostOf(address: string): string {
  const host = address.replace(/^https?:\/\//, "").split("/")[0]!;
  if (host !== "" && !URL.canParse(`https://${host}/`)) throw invalidParameter(`invalid registry name: ${address}`);
  return host;
}

async function loginAt(endpoint: Endpoint, request: LoginRequest): Promise<string> {
  const url = `${endpoint.base}/v2/`;
  const first = await get(endpoint, url, {});
  if (first.status !== 401) return outcome(url, first, "");
  const challenge = parseChallenge(first.headers.get("www-authenticate") ?? "");
  if (challenge?.scheme === "basic") return outcome(url, await get(endpoint, url, basic(request)), "");
  if (challenge?.scheme !== "bearer") return outcome(url, first, "");
  const { token, identityToken } = await fetchToken(endpoint, url, challenge.parameters, request);
  return outcome(url, await get(endpoint, url, { Authorization: `Bearer ${token}` }), identityToken);
}

const basic = ({ username = "", password = "" }: Credentials) => ({
  Authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`,
});

/** Of the answer only the status counts; its text is refused as Docker does. */
async function outcome(url: string, response: Response, identityToken: string): Promise<string> {
  await response.body?.cancel();
  if (response.ok) return identityToken;
  const reason = `${response.status} ${response.statusText || (response.status === 401 ? "Unauthorized" : "")}`.trim();
  const message = `login attempt to ${url} failed with status: ${reason}`;
  throw response.status === 401 ? unauthorized(message) : systemError(message);
}

async function fetchToken(
  endpoint: Endpoint,
  ping: string,
  { realm = "", service = "" }: Record<string, string>,
  request: LoginRequest,
): Promise<{ token: string; identityToken: string }> {
  if (!/^https?:\/\//.test(realm)) throw systemError(`Get "${ping}": no valid token server: "${realm}"`);
  const { username = "", identitytoken } = request;
  let response: Response;
  if (identitytoken) {
    const form = { grant_type: "refresh_token", refresh_token: identitytoken, service, client_id: "docker" };
    response = await send({
      ...transportOf(endpoint),
      url: realm,
      method: "POST",
      headers: { "Content-Type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams(form).toString(),
    });
  } else {
    const url = new URL(realm);
    const query = { account: username, client_id: "docker", offline_token: "true", service };
    for (const [name, value] of Object.entries(query)) if (value !== "") url.searchParams.set(name, value);
    response = await get(endpoint, url.href, basic(request));
  }
  const text = new TextDecoder().decode(await readAtMost(response, answerLimitBytes));
  if (!response.ok) throw refusal(ping, registryError(response, text));
  const { token, access_token, refresh_token } = fieldsOf(text);
  const granted = token ?? access_token;
  if (granted === undefined || !/^[\x21-\x7e]+$/.test(granted))
    throw systemError(`Get "${ping}": authorization server did not include a token in the response`);
  return { token: granted, identityToken: refresh_token ?? identitytoken ?? "" };
}

function refusal(ping: string, error: RegistryError): BrigError {
  return new BrigError(error.status === 401 ? "unauthorized" : "system", `Get "${ping}": ${error.message}`);
}

function fieldsOf(text: string): Record<string, string | undefined> {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== "object" || parsed === null) return {};
    return Object.fromEntries(Object.entries(parsed).filter(([, value]) => typeof value === "string" && value !== ""));
  } catch {
    return {};
  }
}

const transportOf = ({ verify, certificates, proxies }: Endpoint) => ({
  verify,
  certificates,
  proxies,
  signal: undefined,
});

function get(endpoint: Endpoint, url: string, headers: Record<string, string>): Promise<Response> {
  return send({ ...transportOf(endpoint), url, headers });
}
