/** Images as `images` and `system df -v` show them: a row for each of their names. */
import type { Row } from "../../lib/template/values.ts";
import { humanDuration, humanSize } from "../../lib/units.ts";
import type { ImageSummary } from "../../wire/engine-api.ts";
import { localTimeText, row, truncateId } from "../format.ts";

const NONE = "<none>";
const UNKNOWN = "N/A";

/** Headings of the columns a table of images can have. */
export const imageHeadings: Readonly<Record<string, string>> = {
  ID: "IMAGE ID",
  Repository: "REPOSITORY",
  Tag: "TAG",
  Digest: "DIGEST",
  CreatedSince: "CREATED",
  CreatedAt: "CREATED AT",
  Size: "SIZE",
  Containers: "CONTAINERS",
  VirtualSize: "SIZE",
  SharedSize: "SHARED SIZE",
  UniqueSize: "UNIQUE SIZE",
};

interface ImageName {
  repository: string;
  tag: string;
  digest: string;
}

/** The rows of an image; `withDigests`: a row for each digest, too. */
export function imageRows(image: ImageSummary, truncate: boolean, withDigests: boolean, nowMs: number): Row[] {
  return namesOf(image, withDigests).map((name) => imageRow(image, name, truncate, nowMs));
}

/** The row of an image under one of its names. */
export function imageRow(image: ImageSummary, name: ImageName, truncate: boolean, nowMs: number): Row {
  const { Size: size = 0, SharedSize: shared = -1, Containers: containers = -1 } = image;
  const createdMs = (image.Created ?? 0) * 1000;
  return row("imageContext", {
    ID: () => (truncate ? truncateId(image.Id ?? "") : (image.Id ?? "")),
    Repository: () => name.repository,
    Tag: () => name.tag,
    Digest: () => name.digest,
    CreatedSince: () => `${humanDuration(nowMs - createdMs)} ago`,
    CreatedAt: () => localTimeText(createdMs),
    Size: () => humanSize(size, 3),
    Containers: () => (containers === -1 ? UNKNOWN : String(containers)),
    VirtualSize: () => humanSize(size),
    SharedSize: () => (shared === -1 ? UNKNOWN : humanSize(shared)),
    UniqueSize: () => (shared === -1 || size === -1 ? UNKNOWN : humanSize(size - shared)),
  });
}

/** What an image is called; one nameless entry for an image that is called nothing. */
export function namesOf(image: ImageSummary, withDigests: boolean): ImageName[] {
  const tags = grouped((image.RepoTags ?? []).filter((name) => name !== `${NONE}:${NONE}`).map(splitTag));
  const digests = grouped((image.RepoDigests ?? []).filter((name) => name !== `${NONE}@${NONE}`).map(splitDigest));
  const names: ImageName[] = [];
  for (const [repository, itsTags] of tags) {
    const itsDigests = withDigests ? (digests.get(repository) ?? []) : [];
    digests.delete(repository);
    for (const tag of itsTags) {
      for (const digest of itsDigests.length === 0 ? [NONE] : itsDigests) names.push({ repository, tag, digest });
    }
  }
  for (const [repository, itsDigests] of digests) {
    for (const digest of withDigests ? itsDigests : [""]) names.push({ repository, tag: NONE, digest });
  }
  return names.length === 0 ? [{ repository: NONE, tag: NONE, digest: NONE }] : names;
}

function splitTag(name: string): [string, string] {
  const colon = name.lastIndexOf(":");
  return [name.slice(0, colon), name.slice(colon + 1)];
}

function splitDigest(name: string): [string, string] {
  const at = name.indexOf("@");
  return [name.slice(0, at), name.slice(at + 1)];
}

function grouped(pairs: [string, string][]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const [key, value] of pairs) groups.set(key, [...(groups.get(key) ?? []), value]);
  return groups;
}
