/** What the verbs of images work with; put together by Images. */

import type { ImageSettings } from "../distribution/endpoints.ts";
import type { ContentStore } from "../storage/content.ts";
import type { LayerStore } from "../storage/layers.ts";
import type { DriverData } from "../wire/engine-api.ts";
import type { LayerDownloads } from "./downloads.ts";
import type { Garbage } from "./garbage.ts";
import type { ImageStore } from "./store.ts";
import type { BlobUploads } from "./uploads.ts";

/** A container that was made from an image. */
export interface ImageUser {
  id: string;
  name: string;
  running: boolean;
}

/** Where events go. */
export interface EventSink {
  publish(type: "image", action: string, id: string, attributes: Record<string, string>): void;
}

export interface ImageRooms {
  store: ImageStore;
  content: ContentStore;
  layers: LayerStore;
  garbage: Garbage;
  downloads: LayerDownloads;
  uploads: BlobUploads;
  events: EventSink;
  settings(): ImageSettings;
  usedBy(imageId: string): ImageUser[];
  /** The `GraphDriver` of inspect, for an image's layers. */
  graphDriver(diffIds: string[]): DriverData;
}

/** Tells that something happened to an image, with Docker's attributes: its labels, and a name. */
export function announce(rooms: ImageRooms, action: string, id: string, name: string, labels: Record<string, string>) {
  rooms.events.publish("image", action, id, { ...labels, name });
}

/** Tells that unused images were removed, and how many bytes that gave back. */
export function announcePrune(rooms: ImageRooms, reclaimed: number) {
  rooms.events.publish("image", "prune", "", { reclaimed: String(reclaimed) });
}
