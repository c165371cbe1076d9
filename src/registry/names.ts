/** The grammar of what stands in a path (distribution-spec, "Pull"). */
import { RegistryFailure } from "./errors.ts";

const component = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const repositoryPattern = new RegExp(`^${component}(?:/${component})*$`);
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const digestPattern = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/;
const repositoryLimit = 255;

/** Throws NAME_INVALID unless `name` can be a repository's. */
export function checkRepository(name: string): void {
  if (name.length > repositoryLimit || !repositoryPattern.test(name))
    throw new RegistryFailure("NAME_INVALID", { detail: { name: name.slice(0, repositoryLimit) } });
}

export const isTag = (text: string): boolean => tagPattern.test(text);

/** Whether `text` is a digest of an algorithm that the registry knows: sha256, sha512. */
export const isDigest = (text: string): boolean => digestPattern.test(text);

/** Throws DIGEST_INVALID unless `text` is a digest. */
export function checkDigest(text: string): void {
  if (!isDigest(text))
    throw new RegistryFailure("DIGEST_INVALID", { message: "invalid digest", detail: { digest: text.slice(0, 200) } });
}
