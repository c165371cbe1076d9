/** From where a registry may take blobs by itself, instead of being sent them. */
import type { Reference } from "../lib/reference.ts";
import type { ImageStore } from "./store.ts";

/**
 * Other repositories on the server of a reference that blobs have come from or gone to, such as `library/alpine`, by the
 * blobs' digests.
 */
export function mountSources(store: ImageStore, { domain, path }: Reference): Map<string, Set<string>> {
  const sources = new Map<string, Set<string>>();
  for (const { id, manifests } of store.all())
    for (const reference of store.referencesOf(id)) {
      const { digest } = reference;
      if (digest === undefined || reference.domain !== domain || reference.path === path) continue;
      for (const manifest of manifests) {
        if (manifest.digest !== digest && !manifest.indexes.some((index) => index.digest === digest)) continue;
        for (const blob of [...manifest.layers, { digest: id }])
          sources.set(blob.digest, (sources.get(blob.digest) ?? new Set()).add(reference.path));
      }
    }
  return sources;
}
