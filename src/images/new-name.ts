/** The name that a new image, or an image anew, is to get. */
import { invalidParameter } from "../lib/errors.ts";
import { parseReference, type Reference, withDefaultTag, withTag } from "../lib/reference.ts";

/** `latest` where neither `repo` nor `tag` names one. Throws invalidParameter for what is no name, or has a digest. */
export function newName(repo: string, tag = ""): Reference {
  const reference = parseReference(repo);
  if (reference.digest !== undefined) throw invalidParameter("cannot import digest reference");
  // Docker's words. `sha256:abc` is to be the beginning of an id, and nothing else.
  if (reference.familiarName === "sha256")
    throw invalidParameter("refusing to create an ambiguous tag using digest algorithm as name");
  return tag === "" ? withDefaultTag(reference) : withTag(reference, tag);
}
