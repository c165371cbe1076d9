/** Archives from before Docker 1.10: a directory for each layer, with `json`, `layer.tar` and `VERSION`. */

import { type HistoryEntry, parseJson } from "../distribution/documents.ts";
import { systemError } from "../lib/errors.ts";
import { parseReference, type Reference, withTag } from "../lib/reference.ts";
import type { SpooledArchive } from "./archive.ts";

export interface LegacyImage {
  references: Reference[];
  /** Names of members, the lowest layer first. */
  layers: string[];
  /** The image's config but for `rootfs`, which is known when the layers are unpacked. */
  config: Record<string, unknown>;
}

const LAYER_LIMIT = 500;

/** The images that the `repositories` document names. */
export function readLegacyImages(archive: SpooledArchive, repositories: Buffer): LegacyImage[] {
  const names = objectOf(parseJson(repositories, "repositories"), "repositories");
  const byTop = new Map<string, Reference[]>();
  for (const [name, tags] of Object.entries(names))
    for (const [tag, top] of Object.entries(objectOf(tags, "repositories"))) {
      if (typeof top !== "string" || !/^[a-f0-9]{64}$/.test(top))
        throw systemError(`invalid image ID of ${name}:${tag}`);
      byTop.set(top, [...(byTop.get(top) ?? []), withTag(parseReference(name), tag)]);
    }
  return [...byTop].map(([top, references]) => imageOf(archive, top, references));
}

function imageOf(archive: SpooledArchive, top: string, references: Reference[]): LegacyImage {
  const layers: string[] = [];
  const history: HistoryEntry[] = [];
  let config: Record<string, unknown> | undefined;
  for (let id: unknown = top; typeof id === "string" && id !== ""; ) {
    const bytes = /^[a-f0-9]{64}$/.test(id) ? archive.document(`${id}/json`) : undefined;
    if (!bytes) throw systemError(`open ${id}/json: no such file or directory`);
    if (layers.length >= LAYER_LIMIT) throw systemError("the archive's layers go in a circle");
    const layer = objectOf(parseJson(bytes, `${id}/json`), `${id}/json`);
    config ??= layer;
    layers.unshift(`${id}/layer.tar`);
    history.unshift(historyOf(layer));
    id = layer.parent;
  }
  const { architecture = "amd64", os = "linux", created, author, comment, config: runConfig } = config!;
  return { references, layers, config: { architecture, os, created, author, comment, config: runConfig, history } };
}

function historyOf(layer: Record<string, unknown>): HistoryEntry {
  const made = layer.container_config as { Cmd?: unknown } | undefined;
  const command = Array.isArray(made?.Cmd) ? made.Cmd.join(" ") : undefined;
  const entry: HistoryEntry = {};
  if (typeof layer.created === "string") entry.created = layer.created;
  if (typeof layer.comment === "string") entry.comment = layer.comment;
  if (command) entry.created_by = command;
  return entry;
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw systemError(`error unmarshalling content: ${what} is not an object`);
  return value as Record<string, unknown>;
}
