/** Proving who we are to a registry: basic, or a token from the server it names (distribution, "Token Authentication"). */
import { systemError, unauthorized } from "../lib/errors.ts";
import { type HttpRequest, readAtMost, send } from "./http.ts";
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

/** How requests of one authorizer reach servers. */
export type Transport = Pick<HttpRequest, "verify" | "certificates" | "proxies">;

/** What a server granted, as the Authorization header has it. */
interface Grant {
  header: string;
  /** Milliseconds since 1970; afterwards another one is fetched before the server has to refuse. */
  refreshAtMs: number;
}

/** Seconds that a token holds where its server does not say (distribution, "Token Response Fields"). */
const DEFAULT_EXPIRY_S = 60;
/** A token is renewed when so much of its time is over. */
const REFRESH_SHARE = 0.8;

/** Keeps the Authorization headers for one purpose on one server, and renews them. */
export class Authorizer {
  readonly #credentials: Credentials;
  readonly #scopes: string[];
  readonly #transport: Transport;
  /** The server's way of being asked, once it has told. */
  #challenge: Challenge | undefined;
  /** By the scope beyond the authorizer's own, or "". */
  readonly #grants = new Map<string, Grant>();
  readonly #underWay = new Map<string, Promise<Grant>>();

  /** `scopes` are such as `repository:library/alpine:pull,push`; what a server names itself is asked for as well. */
  constructor(credentials: Credentials, scopes: string[], transport: Transport) {
    this.#credentials = credentials;
    this.#scopes = scopes;
    this.#transport = transport;
    if (credentials.registrytoken)
      this.#grants.set("", { header: `Bearer ${credentials.registrytoken}`, refreshAtMs: Infinity });
  }

  /** The Authorization header for a request that needs `extraScope` too; undefined as long as nobody asked for one. */
  async header(extraScope = "", signal?: AbortSignal): Promise<string | undefined> {
    const grant = this.#grants.get(extraScope);
    if (grant !== undefined && Date.now() < grant.refreshAtMs) return grant.header;
    if (this.#challenge === undefined) return this.#grants.get("")?.header;
    return (await this.#renew(extraScope, signal)).header;
  }

  /**
   * Answers the challenge with which a server refused a request that had `refused` as its header. False where there is
   * nothing to answer it with.
   */
  async answer(
    challengeHeader: string,
    refused: string | undefined,
    extraScope = "",
    signal?: AbortSignal,
  ): Promise<boolean> {
    const challenge = parseChallenge(challengeHeader);
    const { username, password = "", registrytoken } = this.#credentials;
    if (challenge?.scheme === "basic") {
      if (!username) throw systemError("no basic auth credentials");
      const header = basic(username, password);
      if (refused === header) return false;
      this.#grants.set("", { header, refreshAtMs: Infinity });
      return true;
    }
    if (challenge?.scheme !== "bearer" || registrytoken) return false;
    const current = this.#grants.get(extraScope);
    // Another request may have been quicker.
    if (current !== undefined && current.header !== refused) return true;
    this.#challenge = challenge;
    await this.#renew(extraScope, signal);
    return true;
  }

  /** Fetches a token, once for all who want the same. */
  async #renew(extraScope: string, signal: AbortSignal | undefined): Promise<Grant> {
    let fetching = this.#underWay.get(extraScope);
    if (fetching === undefined) {
      fetching = this.#fetchToken(this.#challenge!.parameters, extraScope).finally(() =>
        this.#underWay.delete(extraScope),
      );
      this.#underWay.set(extraScope, fetching);
    }
    const grant = await orAborted(fetching, signal);
    this.#grants.set(extraScope, grant);
    return grant;
  }

  async #fetchToken(parameters: Record<string, string>, extraScope: string): Promise<Grant> {
    const { realm = "", service = "" } = parameters;
    if (!/^https?:\/\//.test(realm) || !URL.canParse(realm))
      throw unauthorized(`unauthorized: the registry names no token server: "${realm}"`);
    const scopes = mergeScopes([...this.#scopes, ...(parameters.scope ?? "").split(" "), extraScope]);
    const { username, password = "", identitytoken } = this.#credentials;
    const url = new URL(realm);
    const headers: Record<string, string> = {};
    let body: string | undefined;
    if (identitytoken) {
      body = new URLSearchParams({
        grant_type: "refresh_token",
        refresh_token: identitytoken,
        service,
        scope: scopes.join(" "),
        client_id: "brig",
      }).toString();
      headers["Content-Type"] = "application/x-www-form-urlencoded";
    } else {
      if (service) url.searchParams.set("service", service);
      for (const scope of scopes) url.searchParams.append("scope", scope);
      if (username) {
        url.searchParams.set("account", username);
        headers.Authorization = basic(username, password);
      }
    }
    const response = await send({
      ...this.#transport,
      url: url.href,
      method: body === undefined ? "GET" : "POST",
      headers,
      ...(body === undefined ? {} : { body }),
      signal: undefined,
    });
    const text = new TextDecoder().decode(await readAtMost(response, TOKEN_LIMIT_BYTES));
    if (!response.ok) throw registryError(response, text);
    const answer = tokenIn(text);
    if (answer === undefined) throw unauthorized("authorization server did not include a token in the response");
    const { token, expiresInS } = answer;
    return { header: `Bearer ${token}`, refreshAtMs: Date.now() + expiresInS * 1000 * REFRESH_SHARE };
  }
}

function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** Scopes with the actions on the same thing put together. */
function mergeScopes(scopes: string[]): string[] {
  const actions = new Map<string, Set<string>>();
  for (const scope of scopes) {
    const [, thing, list] = /^(.+):([^:]*)$/.exec(scope) ?? [];
    if (thing === undefined) continue;
    const known = actions.get(thing) ?? new Set();
    for (const action of list!.split(",")) known.add(action);
    actions.set(thing, known);
  }
  return [...actions].map(([thing, known]) => `${thing}:${[...known].join(",")}`);
}

async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function tokenIn(text: string): { token: string; expiresInS: number } | undefined {
  try {
    const answer = JSON.parse(text) as Record<string, unknown>;
    const token = answer.token || answer.access_token;
    const { expires_in: given } = answer;
    const expiresInS = typeof given === "number" && given > 0 ? given : DEFAULT_EXPIRY_S;
    return typeof token === "string" && /^[\x21-\x7e]+$/.test(token) ? { token, expiresInS } : undefined;
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
