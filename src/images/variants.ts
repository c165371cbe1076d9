/** One name, several platforms: which of the images that came from an index is meant. */

import { notFound } from "../lib/errors.ts";
import { parseReference, type Reference, withDefaultTag } from "../lib/reference.ts";
import { exactFit, formatPlatform, hostPlatform, type Platform, parsePlatform, platformFit } from "./platform.ts";
import type { ImageRecord } from "./record.ts";
import type { ImageStore } from "./store.ts";

/**
 * The image that a name, digest or id means, for a platform where one is given (`linux/arm64`). Throws notFound where
 * there is no such image, or not for that platform, and invalidParameter where `platform` is none.
 */
export function resolveFor(store: ImageStore, text: string, platform: string | undefined): ImageRecord {
  const record = store.resolve(text);
  if (!platform) return record;
  const wanted = parsePlatform(platform);
  const best = bestFor(familyOf(store, text), wanted);
  if (best) return best;
  throw notFound(
    `image with reference ${text} was found but does not provide the specified platform (${formatPlatform(wanted)})`,
  );
}

/** The image that a text means and, where that is the name of an index, all others of the index that are here. */
export function familyOf(store: ImageStore, text: string): ImageRecord[] {
  const reference = referenceOf(store, text);
  return reference ? store.family(reference) : [store.resolve(text)];
}

/**
 * The image that serves a platform best, or undefined where none does. Earlier ones win ties. What runs there as well,
 * arm/v6 on arm/v7, counts only where `isExact` is false.
 */
export function bestFor<T extends { os: string; architecture: string; variant?: string }>(
  images: T[],
  wanted: Platform,
  isExact = true,
): T | undefined {
  let best: T | undefined;
  let bestFit = isExact ? exactFit - 1 : 0;
  for (const image of images) {
    const fit = platformFit(wanted, { os: image.os, architecture: image.architecture, variant: image.variant });
    if (fit > bestFit) [best, bestFit] = [image, fit];
  }
  return best;
}

/** The image that a name is to point at, of those that came with it: this machine's, else the first. */
export function mainOf<T extends { os: string; architecture: string; variant?: string }>(images: T[]): T | undefined {
  return bestFor(images, hostPlatform(), false) ?? images[0];
}

/** The reference that a text is, or undefined where it is an id. Throws invalidParameter where it can be neither. */
function referenceOf(store: ImageStore, text: string): Reference | undefined {
  if (/^(?:sha256:)?[a-f0-9]{64}$/.test(text)) return undefined;
  const reference = withDefaultTag(parseReference(text));
  return store.idOf(reference) === undefined ? undefined : reference;
}
