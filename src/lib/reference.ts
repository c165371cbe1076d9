/** Names of images as people write them, after the grammar of Docker's (distribution/reference). */
import { invalidParameter } from "./errors.ts";

const DEFAULT_DOMAIN = "docker.io";
const LEGACY_DOMAIN = "index.docker.io";
const DEFAULT_TAG = "latest";
const NAME_LIMIT = 255;
/** Longer than any reference that can be: a matcher must not be fed megabytes. */
const TEXT_LIMIT = 2048;

const domainComponent = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const domain = `(?:${domainComponent}(?:\\.${domainComponent})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const pathComponent = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const path = `${pathComponent}(?:/${pathComponent})*`;
const tag = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
const digest = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";

const referencePattern = new RegExp(`^(${domain})/(${path})(?::(${tag}))?(?:@(${digest}))?$`);
const tagPattern = new RegExp(`^${tag}$`);
const digestPattern = new RegExp(`^${digest}$`);
const identifierPattern = /^[a-f0-9]{64}$/;
const digestLengths: Record<string, number> = { sha256: 64, sha384: 96, sha512: 128 };

/** A name with at most one tag and at most one digest. */
export interface Reference {
  /** `docker.io`, `127.0.0.1:5000`. */
  domain: string;
  /** `library/alpine`. */
  path: string;
  tag: string | undefined;
  /** `sha256:…` */
  digest: string | undefined;
  /** `docker.io/library/alpine`. */
  name: string;
  /** The name as people say it: `alpine`. */
  familiarName: string;
}

/** Parses `alpine`, `alpine:3.20`, `ghcr.io/a/b@sha256:…`. Throws invalidParameter with Docker's sentences. */
export function parseReference(text: string): Reference {
  if (identifierPattern.test(text))
    throw invalidParameter(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  if (text.length > TEXT_LIMIT) throw invalidParameter("invalid reference format");
  const { domain, remainder } = splitDomain(text);
  const colon = remainder.indexOf(":");
  const remote = colon < 0 ? remainder : remainder.slice(0, colon);
  if (remote.toLowerCase() !== remote)
    throw invalidParameter(`invalid reference format: repository name (${remote}) must be lowercase`);
  const match = referencePattern.exec(`${domain}/${remainder}`);
  if (!match) throw invalidParameter("invalid reference format");
  const [, matchedDomain, matchedPath, matchedTag, matchedDigest] = match;
  if (matchedPath!.length > NAME_LIMIT)
    throw invalidParameter(`repository name must not be more than ${NAME_LIMIT} characters`);
  if (matchedDigest !== undefined) checkDigest(matchedDigest);
  return referenceOf(matchedDomain!, matchedPath!, matchedTag, matchedDigest);
}

function referenceOf(domain: string, path: string, tag: string | undefined, digest: string | undefined): Reference {
  return { domain, path, tag, digest, name: `${domain}/${path}`, familiarName: familiarName(domain, path) };
}

function splitDomain(text: string): { domain: string; remainder: string } {
  const slash = text.indexOf("/");
  const first = text.slice(0, Math.max(slash, 0));
  const isDomain = slash >= 0 && (/[.:]/.test(first) || first === "localhost" || first.toLowerCase() !== first);
  let domain = isDomain ? first : DEFAULT_DOMAIN;
  const remainder = isDomain ? text.slice(slash + 1) : text;
  if (domain === LEGACY_DOMAIN) domain = DEFAULT_DOMAIN;
  const official = domain === DEFAULT_DOMAIN && !remainder.includes("/");
  return { domain, remainder: official ? `library/${remainder}` : remainder };
}

function familiarName(domain: string, path: string): string {
  if (domain !== DEFAULT_DOMAIN) return `${domain}/${path}`;
  const parts = path.split("/");
  return parts.length === 2 && parts[0] === "library" ? parts[1]! : path;
}

/** Throws invalidParameter unless `text` is a digest of a known algorithm with the right number of digits. */
export function checkDigest(text: string): void {
  if (!digestPattern.test(text)) throw invalidParameter("invalid checksum digest format");
  const colon = text.indexOf(":");
  const length = digestLengths[text.slice(0, colon)];
  if (length === undefined) throw invalidParameter("unsupported digest algorithm");
  const hex = text.slice(colon + 1);
  if (hex.length !== length) throw invalidParameter("invalid checksum digest length");
  if (hex !== hex.toLowerCase()) throw invalidParameter("invalid checksum digest format");
}

/** Whether `text` is `sha256:` and 64 lower-case hexadecimal digits. */
export function isSha256(text: unknown): text is string {
  return typeof text === "string" && /^sha256:[a-f0-9]{64}$/.test(text);
}

/** The digest of bytes: `sha256:…`. */
export function sha256Of(bytes: Uint8Array | string): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
}

/** The same name with another tag and no digest. Throws invalidParameter `invalid tag format`. */
export function withTag(reference: Reference, text: string): Reference {
  if (!tagPattern.test(text)) throw invalidParameter("invalid tag format");
  return referenceOf(reference.domain, reference.path, text, undefined);
}

/** The same name with that digest and no tag. Throws invalidParameter where it is none. */
export function withDigest(reference: Reference, text: string): Reference {
  checkDigest(text);
  return referenceOf(reference.domain, reference.path, undefined, text);
}

/** The same reference, with `latest` where neither tag nor digest was given. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: DEFAULT_TAG } : reference;
}

/** In full: `docker.io/library/alpine:3.20`. */
export function canonicalString(reference: Reference): string {
  return reference.name + suffixOf(reference);
}

/** As people say it: `alpine:3.20`. */
export function familiarString(reference: Reference): string {
  return reference.familiarName + suffixOf(reference);
}

function suffixOf({ tag, digest }: Reference): string {
  return (tag === undefined ? "" : `:${tag}`) + (digest === undefined ? "" : `@${digest}`);
}

/** The first twelve digits of an id or digest, as Docker shortens it. */
export function shortId(id: string): string {
  return id.slice(id.indexOf(":") + 1).slice(0, 12);
}
