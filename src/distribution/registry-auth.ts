/** Proving who we are to a registry: basic, or a token from the server it names (distribution, "Token Authentication"). */
import { unauthorized } from "../lib/errors.ts";
import { readAtMost, send } from "./http.ts";
import { registryError } from "./registry-errors.ts";

/** What a client sent in X-Registry-Auth. */
export interface Credentials {
  username?: string;
  password?: string;
  /** A refresh token, in place of a password. */
  identitytoken?: string;
  /** A token to be sent as it is. */
  registrytoken?: string;
}

const TOKEN_LIMIT_BYTES = 1 << 20;

interface Challenge {
  scheme: string;
  parameters: Record<string, string>;
}

/** Keeps the Authorization header of one repository on one server. */
export class Authorizer {
  readonly #credentials: Credentials;
  readonly #scope: string;
  readonly #verify: boolean;
  #header: string | undefined;

  constructor(credentials: Credentials, path: string, verify: boolean) {
    this.#credentials = credentials;
    this.#scope = `repository:${path}:pull`;
    this.#verify = verify;
    if (credentials.registrytoken) this.#header = `Bearer ${credentials.registrytoken}`;
  }

  headers(): Record<string, string> {
    return this.#header === undefined ? {} : { Authorization: this.#header };
  }

  /** Answers a refusal's challenge. False where there is nothing to answer it with. */
  async answer(challengeHeader: string, signal: AbortSignal | undefined): Promise<boolean> {
    const challenge = parseChallenge(challengeHeader);
    const { username, password = "", registrytoken } = this.#credentials;
    if (challenge?.scheme === "basic" && username) {
      this.#header = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
      return true;
    }
    if (challenge?.scheme !== "bearer" || registrytoken) return false;
    this.#header = `Bearer ${await this.#fetchToken(challenge.parameters, signal)}`;
    return true;
  }

  async #fetchToken(parameters: Record<string, string>, signal: AbortSignal | undefined): Promise<string> {
    const { realm = "", service = "" } = parameters;
    if (!/^https?:\/\//.test(realm)) throw unauthorized(`unauthorized: the registry names no token server: "${realm}"`);
    const scope = parameters.scope || this.#scope;
    const { username, password = "", identitytoken } = this.#credentials;
    const url = new URL(realm);
    const headers: Record<string, string> = {};
    let body: string | undefined;
    if (identitytoken) {
      body = new URLSearchParams({
        grant_type: "refresh_token",
        refresh_token: identitytoken,
        service,
        scope,
        client_id: "brig",
      }).toString();
      headers["Content-Type"] = "application/x-www-form-urlencoded";
    } else {
      if (service) url.searchParams.set("service", service);
      url.searchParams.set("scope", scope);
      if (username) {
        url.searchParams.set("account", username);
        headers.Authorization = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
      }
    }
    const response = await send({
      url: url.href,
      method: body === undefined ? "GET" : "POST",
      headers,
      body,
      verify: this.#verify,
      signal,
    });
    const text = new TextDecoder().decode(await readAtMost(response, TOKEN_LIMIT_BYTES));
    if (!response.ok) throw registryError(response, text);
    const token = tokenIn(text);
    if (token === undefined) throw unauthorized("authorization server did not include a token in the response");
    return token;
  }
}

function tokenIn(text: string): string | undefined {
  try {
    const answer = JSON.parse(text) as Record<string, unknown>;
    const token = answer.token || answer.access_token;
    return typeof token === "string" && /^[\x21-\x7e]+$/.test(token) ? token : undefined;
  } catch {
    return undefined;
  }
}

/** Takes `Bearer realm="…",service="…"` apart; of several challenges the first that we know. */
export function parseChallenge(header: string): Challenge | undefined {
  const start = /(?:^|,\s*)(bearer|basic)\b/i.exec(header);
  if (!start) return undefined;
  const rest = header.slice(start.index + start[0].length);
  const parameters: Record<string, string> = {};
  for (const [, name, quoted, plain] of rest.matchAll(/([a-z_]+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))/gi))
    parameters[name!.toLowerCase()] ??= quoted ?? plain ?? "";
  return { scheme: start[1]!.toLowerCase(), parameters };
}
