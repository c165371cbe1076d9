/** What the registry reads of a manifest; everything else of it is kept as it is. */
import { isIndexType, mediaTypes } from "../distribution/media-types.ts";
import { RegistryFailure } from "./errors.ts";
import type { NewManifest } from "./metadata.ts";
import { isDigest } from "./names.ts";

type Json = Record<string, unknown>;

const entryLimit = 10_000;
const depthLimit = 64;
/** RFC 6838, 4.2. */
const mediaTypePattern = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$/;

const invalid = (reason: string) => new RegistryFailure("MANIFEST_INVALID", { detail: reason });

/** A manifest's JSON. Throws MANIFEST_INVALID for anything that is no object. */
export function parseManifest(content: Uint8Array): Json {
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content));
  } catch (thrown) {
    throw invalid(`not JSON: ${(thrown as Error).message}`);
  }
  if (!isObject(document)) throw invalid("not an object");
  if (depthOf(document, 0) > depthLimit) throw invalid("nested too deeply");
  return document;
}

/** Throws MANIFEST_INVALID for contradictions and fields of the wrong shape, UNSUPPORTED for schema 1. */
export function readManifest(document: Json, contentType: string): Omit<NewManifest, "digest" | "content"> {
  const own = optionalText(document.mediaType, "mediaType");
  const announced = contentType.split(";")[0]!.trim();
  const mediaType = announced || own || typeByShape(document);
  // It becomes a header of answers.
  if (!mediaTypePattern.test(mediaType)) throw invalid("mediaType is none");
  if (own !== "" && own !== mediaType) throw invalid(`mediaType is ${own}, Content-Type ${mediaType}`);
  if (
    document.schemaVersion === 1 ||
    mediaType === mediaTypes.dockerSchema1 ||
    mediaType === mediaTypes.dockerSchema1Signed
  )
    throw new RegistryFailure("UNSUPPORTED", { message: "schema 1 manifests are not supported" });
  if (document.schemaVersion !== 2 && document.schemaVersion !== undefined) throw invalid("schemaVersion is not 2");
  const needs = new Set<string>();
  const config = document.config === undefined ? undefined : descriptor(document.config, "config");
  if (config) needs.add(config.digest);
  for (const field of ["layers", "blobs", "manifests"] as const) {
    const entries = document[field] ?? [];
    if (!Array.isArray(entries) || entries.length > entryLimit) throw invalid(`${field} is not a list of descriptors`);
    for (const entry of entries) {
      const { digest, isForeign } = descriptor(entry, field);
      if (!isForeign) needs.add(digest);
    }
  }
  if (isIndexType(mediaType) && !Array.isArray(document.manifests)) throw invalid("an index without manifests");
  return {
    mediaType,
    // An index or manifest may say what it is; an image manifest is what its config is.
    artifactType: optionalText(document.artifactType, "artifactType") || (config?.mediaType ?? ""),
    annotations: texts(document.annotations),
    subject: document.subject === undefined ? undefined : descriptor(document.subject, "subject").digest,
    needs: [...needs],
  };
}

function typeByShape(document: Json): string {
  return Array.isArray(document.manifests) ? mediaTypes.ociIndex : mediaTypes.ociManifest;
}

/** A foreign layer need not be here: its manifest says where it is. */
function descriptor(value: unknown, field: string): { digest: string; mediaType: string; isForeign: boolean } {
  if (!isObject(value) || typeof value.digest !== "string" || !isDigest(value.digest))
    throw invalid(`${field} has no valid digest`);
  if (!Number.isSafeInteger(value.size) || (value.size as number) < 0) throw invalid(`${field} has no valid size`);
  const mediaType = optionalText(value.mediaType, `${field}.mediaType`);
  const isForeign = /\.foreign\.|\.nondistributable\./.test(mediaType);
  return { digest: value.digest, mediaType, isForeign };
}

function texts(value: unknown): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (!isObject(value) || !Object.values(value).every((text) => typeof text === "string"))
    throw invalid("annotations are not texts");
  return value as Record<string, string>;
}

function optionalText(value: unknown, field: string): string {
  if (value === undefined || value === null) return "";
  if (typeof value !== "string" || value.length > 255) throw invalid(`${field} is not a text`);
  return value;
}

function depthOf(value: unknown, depth: number): number {
  if (typeof value !== "object" || value === null || depth > depthLimit) return depth;
  let deepest = depth;
  for (const child of Object.values(value)) deepest = Math.max(deepest, depthOf(child, depth + 1));
  return deepest;
}

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
