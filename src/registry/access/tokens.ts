/** Signed tokens that say what their bearer may do (distribution, "Token Authentication Specification"; RFC 7519). */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  sign,
  verify,
} from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** One entry of a token's `access`. */
export interface TokenAccess {
  type: string;
  name: string;
  actions: string[];
}

export interface Claims {
  /** The user; empty for an anonymous bearer. */
  subject: string;
  access: TokenAccess[];
  /** ms since 1970 */
  expiresAt: number;
}

export interface TrustedIssuer {
  issuer: string;
  /** Whom tokens are for. */
  service: string;
  publicKeys: KeyObject[];
}

/** Seconds that a token holds. */
export const tokenSeconds = 300;
const tokenLimit = 16 * 1024;
const rememberLimit = 2000;
/** Clocks may differ by so much. */
const leewayMs = 30_000;

/** Signs with a key of its own, which is made where there is none. */
export class TokenIssuer {
  readonly issuer = "brig-registry";
  readonly #key: KeyObject;

  /** The key is `token-key.pem` in `root`. */
  constructor(root: string) {
    const path = join(root, "token-key.pem");
    let pem: string;
    try {
      pem = readFileSync(path, "utf8");
    } catch (thrown) {
      if ((thrown as { code?: string }).code !== "ENOENT") throw thrown;
      const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
      // A crash must not leave half a key.
      writeFileSync(`${path}.new`, pem, { mode: 0o600 });
      renameSync(`${path}.new`, path);
    }
    this.#key = createPrivateKey(pem);
  }

  get publicKey(): KeyObject {
    return createPublicKey(this.#key);
  }

  issue(service: string, subject: string, access: TokenAccess[]): string {
    const now = Math.floor(Date.now() / 1000);
    const times = { exp: now + tokenSeconds, nbf: now - 10, iat: now };
    const claims = { iss: this.issuer, sub: subject, aud: service, ...times, jti: randomUUID(), access };
    const signed = `${encode({ typ: "JWT", alg: "ES256" })}.${encode(claims)}`;
    const signature = sign("sha256", Buffer.from(signed), { key: this.#key, dsaEncoding: "ieee-p1363" });
    return `${signed}.${signature.toString("base64url")}`;
  }
}

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Believes tokens of one issuer. */
export class TokenVerifier {
  readonly #trusted: TrustedIssuer;
  readonly #known = new Map<string, Claims>();

  constructor(trusted: TrustedIssuer) {
    this.#trusted = trusted;
  }

  /** What a token says; undefined where it is none of the issuer's, not for this service, or not of this time. */
  verify(token: string): Claims | undefined {
    const known = this.#known.get(token);
    if (known !== undefined) return known.expiresAt > Date.now() ? known : undefined;
    const claims = this.#read(token);
    if (claims === undefined) return undefined;
    if (this.#known.size >= rememberLimit) this.#known.clear();
    this.#known.set(token, claims);
    return claims;
  }

  #read(token: string): Claims | undefined {
    if (token.length > tokenLimit) return undefined;
    const parts = token.split(".");
    if (parts.length !== 3) return undefined;
    const [head, body, signature] = parts as [string, string, string];
    try {
      const { alg } = JSON.parse(Buffer.from(head, "base64url").toString()) as { alg?: unknown };
      const bytes = Buffer.from(`${head}.${body}`);
      const proof = Buffer.from(signature, "base64url");
      if (!this.#trusted.publicKeys.some((key) => isSigned(key, alg, bytes, proof))) return undefined;
      return this.#claimsIn(JSON.parse(Buffer.from(body, "base64url").toString()));
    } catch {
      return undefined;
    }
  }

  #claimsIn(body: Record<string, unknown>): Claims | undefined {
    const { iss, aud, exp, nbf, sub, access } = body;
    const now = Date.now();
    const isForUs = aud === this.#trusted.service || (Array.isArray(aud) && aud.includes(this.#trusted.service));
    if (iss !== this.#trusted.issuer || !isForUs) return undefined;
    if (typeof exp !== "number" || exp * 1000 + leewayMs < now) return undefined;
    if (nbf !== undefined && (typeof nbf !== "number" || nbf * 1000 - leewayMs > now)) return undefined;
    const entries = Array.isArray(access) ? access.filter(isAccess) : [];
    return { subject: typeof sub === "string" ? sub : "", access: entries, expiresAt: exp * 1000 + leewayMs };
  }
}

/** The algorithm follows from the key, and never from the token alone. */
function isSigned(key: KeyObject, alg: unknown, bytes: Buffer, proof: Buffer): boolean {
  if (key.asymmetricKeyType === "ec" && alg === "ES256")
    return verify("sha256", bytes, { key, dsaEncoding: "ieee-p1363" }, proof);
  return key.asymmetricKeyType === "rsa" && alg === "RS256" && verify("sha256", bytes, key, proof);
}

function isAccess(value: unknown): value is TokenAccess {
  const { type, name, actions } = (value ?? {}) as Record<string, unknown>;
  return typeof type === "string" && typeof name === "string" && Array.isArray(actions);
}
