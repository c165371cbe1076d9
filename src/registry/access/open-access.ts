/** The access control that the settings ask for. */
import { createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { StateDatabase } from "../../state/database.ts";
import { type AccessControl, openAccess } from "./access.ts";
import { Accounts } from "./accounts.ts";
import { Guard, OutsideTokens } from "./guard.ts";
import { HtpasswdFile } from "./htpasswd.ts";
import { Passwords } from "./passwords.ts";
import { RefreshTokens } from "./refresh-tokens.ts";
import { TokenIssuer } from "./tokens.ts";

export interface AccessOptions {
  /** `none`: everybody may do everything. */
  mode: "none" | "htpasswd" | "users" | "token";
  htpasswdPath: string;
  /** Whether clients are given tokens for passwords, or send passwords each time. */
  tokens: boolean;
  publicUrl: string;
  /** The outside token server of mode `token`. */
  outside: { realm: string; service: string; issuer: string; keyPath: string };
}

/** Throws where a file that the settings name cannot be used. */
export function accessFor(options: AccessOptions, root: string, db: StateDatabase, isTls: boolean): AccessControl {
  const { mode, outside, publicUrl } = options;
  if (mode === "none") return openAccess;
  if (mode === "token") {
    const { realm, service, issuer, keyPath } = outside;
    return new OutsideTokens({ issuer, service, publicKeys: publicKeysIn(keyPath) }, realm);
  }
  const accounts = new Accounts(db);
  const file = mode === "htpasswd" ? new HtpasswdFile(options.htpasswdPath) : undefined;
  const hashOf = (user: string) => (file ? file.hashOf(user) : accounts.hashOf(user));
  // Who is in the file may do everything, as with other registries.
  const isInFile = (user: string | undefined) => user !== undefined && hashOf(user) !== undefined;
  return new Guard({
    passwords: new Passwords(hashOf),
    rightsOf: file ? (user) => () => isInFile(user) : (user) => accounts.rights(user),
    isAdmin: file ? isInFile : (user) => accounts.isAdmin(user),
    tokens: options.tokens ? { issuer: new TokenIssuer(root), refresh: new RefreshTokens(db, hashOf) } : undefined,
    publicUrl,
    isTls,
  });
}

/** Keys and certificates of a PEM file. */
function publicKeysIn(path: string): KeyObject[] {
  const blocks = readFileSync(path, "utf8").match(/-----BEGIN [A-Z ]+-----[^-]+-----END [A-Z ]+-----/g) ?? [];
  const keys = blocks.map((pem) =>
    pem.includes("CERTIFICATE") ? new X509Certificate(pem).publicKey : createPublicKey(pem),
  );
  if (keys.length === 0) throw new Error(`${path} holds no public key`);
  return keys;
}
