/** Access control by accounts or an htpasswd file, with passwords or with tokens. */
import { RegistryFailure } from "../errors.ts";
import { type Action, actionOf, type RegistryRequest } from "../request.ts";
import type { AccessControl } from "./access.ts";
import type { Passwords } from "./passwords.ts";
import type { RefreshTokens } from "./refresh-tokens.ts";
import {
  type Claims,
  type TokenAccess,
  type TokenIssuer,
  TokenVerifier,
  type TrustedIssuer,
  tokenSeconds,
} from "./tokens.ts";

/** What somebody may do, by name; undefined for who says none. */
export type RightsOf = (user: string | undefined) => (repository: string, action: Action) => boolean;

export interface GuardOptions {
  passwords: Passwords;
  rightsOf: RightsOf;
  isAdmin: (user: string | undefined) => boolean;
  /** Own tokens; undefined where passwords alone count. */
  tokens: { issuer: TokenIssuer; refresh: RefreshTokens } | undefined;
  /** `https://registry.example`; what the client used where it is empty. */
  publicUrl: string;
  isTls: boolean;
}

const service = "brig-registry";
const formLimitBytes = 64 * 1024;
const scopeLimit = 100;
export const tokenPath = "/auth/token";

export class Guard implements AccessControl {
  readonly #options: GuardOptions;
  readonly #verifier: TokenVerifier | undefined;

  constructor(options: GuardOptions) {
    this.#options = options;
    const { tokens } = options;
    this.#verifier =
      tokens && new TokenVerifier({ issuer: tokens.issuer.issuer, service, publicKeys: [tokens.issuer.publicKey] });
  }

  async authorize(request: RegistryRequest): Promise<void> {
    const [scheme = "", value = ""] = (request.header("authorization") ?? "").split(" ", 2);
    if (/^bearer$/i.test(scheme) && this.#verifier) {
      const claims = this.#verifier.verify(value);
      if (claims === undefined) throw this.#challenge(request, "invalid_token");
      request.claims = claims;
      request.user = claims.subject || undefined;
    } else if (/^basic$/i.test(scheme)) request.user = await this.#userOf(request, value);
    if (request.url.pathname === tokenPath) {
      // Or who finds a token for one thing gets one for all.
      if (request.claims) throw this.#challenge(request, "invalid_request");
      return;
    }
    const isBase = request.route.kind === "base" || request.route.kind === "other";
    // Whoever logs in wants to know whether the password is right; and who pulls, how to ask.
    if (isBase ? request.user === undefined && request.claims === undefined : !this.#allows(request))
      throw this.#refusal(request);
  }

  #allows(request: RegistryRequest): boolean {
    const { repository, route, user } = request;
    if (route.kind === "search") return true;
    if (route.kind === "catalog") return user !== undefined;
    return this.#may(request, user, repository, actionOf(request));
  }

  /** A token counts for what it names, as long as its user has the right still. */
  #may(request: RegistryRequest, user: string | undefined, repository: string, action: Action): boolean {
    if (request.claims && !isIn(request.claims, repository, action)) return false;
    return this.#options.rightsOf(user)(repository, action);
  }

  async may(request: RegistryRequest, repository: string, action: Action): Promise<boolean> {
    return this.#may(request, request.user, repository, action);
  }

  async visible(request: RegistryRequest): Promise<(repository: string) => boolean> {
    const may = this.#options.rightsOf(request.user);
    return (repository) => may(repository, "pull");
  }

  /** The name in Basic credentials. Throws UNAUTHORIZED where the password is wrong. */
  async #userOf(request: RegistryRequest, value: string): Promise<string> {
    const [user = "", ...password] = Buffer.from(value, "base64").toString("utf8").split(":");
    if (!(await this.#options.passwords.verify(user, password.join(":"), request.address)))
      throw this.#challenge(request);
    return user;
  }

  #refusal(request: RegistryRequest): RegistryFailure {
    if (request.user === undefined || request.claims) {
      const isLacking = request.claims !== undefined && request.route.repository !== "";
      return this.#challenge(request, isLacking ? "insufficient_scope" : undefined);
    }
    const { route, user, repository } = request;
    // Whoever may not even read it is told no more than of one that is not there.
    const isHidden = actionOf(request) === "pull" || !this.#options.rightsOf(user)(repository, "pull");
    return isHidden && route.kind !== "uploads" && route.kind !== "upload"
      ? new RegistryFailure("NAME_UNKNOWN", { detail: { name: repository } })
      : new RegistryFailure("DENIED");
  }

  #challenge(request: RegistryRequest, error?: string): RegistryFailure {
    const header = this.#options.tokens ? this.#bearerChallenge(request, error) : 'Basic realm="Brig registry"';
    return new RegistryFailure("UNAUTHORIZED", { headers: { "WWW-Authenticate": header } });
  }

  #bearerChallenge(request: RegistryRequest, error: string | undefined): string {
    const { repository, route } = request;
    const parts = [`realm="${this.#baseOf(request)}${tokenPath}"`, `service="${service}"`];
    const actions = { pull: "pull", push: "pull,push", delete: "delete" }[actionOf(request)];
    if (repository !== "") parts.push(`scope="repository:${repository}:${actions}"`);
    if (route.kind === "catalog") parts.push('scope="registry:catalog:*"');
    if (error !== undefined) parts.push(`error="${error}"`);
    return `Bearer ${parts.join(",")}`;
  }

  #baseOf(request: RegistryRequest): string {
    const { publicUrl, isTls } = this.#options;
    if (publicUrl !== "") return publicUrl;
    const host = request.header("host") ?? "";
    return `${isTls ? "https" : "http"}://${/^[A-Za-z0-9.:[\]-]+$/.test(host) ? host : request.url.host}`;
  }

  /** The token server: GET with Basic credentials or none, and POST by OAuth 2. */
  async answerTokenRequest(request: RegistryRequest): Promise<Response> {
    const { tokens, passwords } = this.#options;
    if (!tokens) throw new RegistryFailure("UNSUPPORTED", { status: 404, message: "page not found" });
    const isPost = request.method === "POST";
    const form = isPost
      ? new URLSearchParams((await request.bytes(formLimitBytes)).toString())
      : request.url.searchParams;
    let { user } = request;
    if (isPost) {
      const isRefresh = form.get("grant_type") === "refresh_token";
      const name = form.get("username") ?? "";
      if (isRefresh) user = tokens.refresh.userOf(form.get("refresh_token") ?? "");
      else if (await passwords.verify(name, form.get("password") ?? "", request.address)) user = name;
      if (user === undefined) throw new RegistryFailure("UNAUTHORIZED", { message: "incorrect username or password" });
    }
    const scopes = form
      .getAll("scope")
      .flatMap((scope) => scope.split(" "))
      .filter(Boolean)
      .slice(0, scopeLimit);
    const token = tokens.issuer.issue(service, user ?? "", this.#grant(user, scopes));
    const wantsRefresh = form.get("offline_token") === "true" || form.get("access_type") === "offline";
    return Response.json({
      token,
      access_token: token,
      expires_in: tokenSeconds,
      issued_at: new Date().toISOString(),
      ...(wantsRefresh && user !== undefined ? { refresh_token: tokens.refresh.issue(user) } : {}),
    });
  }

  /** Of what is asked for, as much as the user may. */
  #grant(user: string | undefined, scopes: string[]): TokenAccess[] {
    const may = this.#options.rightsOf(user);
    return scopes.flatMap((scope) => {
      const match = /^([a-z]+)(?:\([a-z]+\))?:(.+):([a-z*,]+)$/.exec(scope);
      if (!match) return [];
      const [, type = "", name = "", asked = ""] = match;
      if (type === "registry") return this.#options.isAdmin(user) ? [{ type, name, actions: ["*"] }] : [];
      if (type !== "repository") return [];
      const wanted = asked === "*" ? ["pull", "push", "delete"] : asked.split(",");
      const actions = wanted.filter((action) => isAction(action) && may(name, action));
      return actions.length === 0 ? [] : [{ type, name, actions }];
    });
  }
}

const isAction = (text: string): text is Action => text === "pull" || text === "push" || text === "delete";

function isIn({ access }: Claims, repository: string, action: Action): boolean {
  return access.some(
    ({ type, name, actions }) =>
      type === "repository" && name === repository && (actions.includes(action) || actions.includes("*")),
  );
}

/** Access control by the tokens of an outside server: what they grant is what may be done. */
export class OutsideTokens implements AccessControl {
  readonly #verifier: TokenVerifier;
  readonly #trusted: TrustedIssuer;
  readonly #realm: string;

  /** `realm` is the URL of the token server. */
  constructor(trusted: TrustedIssuer, realm: string) {
    this.#verifier = new TokenVerifier(trusted);
    this.#trusted = trusted;
    this.#realm = realm;
  }

  async authorize(request: RegistryRequest): Promise<void> {
    const [scheme = "", value = ""] = (request.header("authorization") ?? "").split(" ", 2);
    const claims = /^bearer$/i.test(scheme) ? this.#verifier.verify(value) : undefined;
    const { route, repository } = request;
    if (claims) {
      request.claims = claims;
      request.user = claims.subject || undefined;
      if (route.kind === "base") return;
      const wanted = route.kind === "search" ? ["*", "search"] : ["*"];
      const mayList = claims.access.some(
        ({ type, name, actions }) =>
          type === "registry" && name === "catalog" && wanted.some((action) => actions.includes(action)),
      );
      if (repository === "" ? mayList : isIn(claims, repository, actionOf(request))) return;
    }
    const actions = actionOf(request) === "push" ? "pull,push" : actionOf(request);
    const scope = repository === "" ? "" : `,scope="repository:${repository}:${actions}"`;
    const list = route.kind === "catalog" ? ',scope="registry:catalog:*"' : "";
    const error = claims ? ',error="insufficient_scope"' : "";
    throw new RegistryFailure("UNAUTHORIZED", {
      headers: {
        "WWW-Authenticate": `Bearer realm="${this.#realm}",service="${this.#trusted.service}"${scope}${list}${error}`,
      },
    });
  }

  async may({ claims }: RegistryRequest, repository: string, action: Action): Promise<boolean> {
    return claims !== undefined && isIn(claims, repository, action);
  }

  async visible(): Promise<(repository: string) => boolean> {
    return () => true;
  }
}
