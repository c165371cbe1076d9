/** commit: an image of what a container has made of its own. */
import { applyChanges } from "../images/changes.ts";
import { conflict } from "../lib/errors.ts";
import type { ContainerConfig } from "../wire/engine-api.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import { completeConfig } from "./inspect.ts";
import { mergeConfig } from "./merge-config.ts";
import { ownPaths } from "./own-paths.ts";
import type { Rooms } from "./rooms.ts";

/** POST /commit */
export interface CommitRequest {
  /** Empty: the image gets no name. */
  repo: string;
  tag: string;
  comment: string;
  author: string;
  /** Whether the container's processes stand still meanwhile. */
  pause: boolean;
  /** Dockerfile instructions. */
  changes: string[];
  /** In the place of the container's, which completes it. */
  config?: ContainerConfig;
  signal?: AbortSignal;
}

/** Makes the image and returns its id. Throws Docker's refusals; then there is no image, and no name has moved. */
export async function commitContainer(rooms: Rooms, container: Container, request: CommitRequest): Promise<string> {
  const { record, id } = container;
  const { repo, tag, comment, author, signal } = request;
  const changed = applyChanges(request.config ?? record.config, request.changes);
  const image = await rooms.images.prepareCommit({ parent: record.imageId, repo, tag });
  const [isFrozen, endReading] = await container.lock.run(async () => {
    checkCommittable(container);
    return [request.pause && (await freeze(rooms, container)), container.beginReading()] as const;
  });
  try {
    const { imageId, name } = await image.commit({
      author,
      comment,
      createdBy: (record.config.Cmd ?? []).join(" "),
      config: completeConfig(mergeConfig(changed, record.config)),
      container: id,
      containerConfig: completeConfig(record.config),
      pack: (copyTo) => rooms.rootfs.pack(id, record.diffIds, ownPaths, { copyTo, signal }),
    });
    announce(rooms, container, "commit", { comment, imageID: imageId, imageRef: name });
    return imageId;
  } finally {
    endReading();
    if (isFrozen) await thaw(rooms, container);
  }
}

function checkCommittable({ id, record }: Container): void {
  const { status } = record.state;
  if (status === "dead") throw conflict(`You cannot commit container ${id} which is Dead`);
  if (status === "removing") throw conflict(`You cannot commit container ${id} which is being removed`);
}

/** False where there is nothing to freeze. The row says so first: whoever finds it after a crash thaws the container. */
async function freeze(rooms: Rooms, container: Container): Promise<boolean> {
  const { state, hostConfig } = container.record;
  if (state.status !== "running") return false;
  state.frozenForCommit = true;
  rooms.store.save(container);
  try {
    await rooms.runtimeFor(hostConfig.Runtime ?? "").pause(container.id);
  } catch (error) {
    await thaw(rooms, container);
    throw error;
  }
  state.status = "paused";
  rooms.store.save(container);
  announce(rooms, container, "pause");
  return true;
}

/**
 * Lets the container go on, unless it has ended, or somebody else has let it go on or paused it since. Without the lock:
 * who holds that may be waiting for the commit to end.
 */
async function thaw(rooms: Rooms, container: Container): Promise<void> {
  const isOurs = () => container.running && container.record.state.frozenForCommit;
  if (!isOurs()) return;
  try {
    await rooms.runtimeFor(container.record.hostConfig.Runtime ?? "").resume(container.id);
  } catch (error) {
    if (container.running) throw error;
  }
  if (!isOurs()) return;
  const { state } = container.record;
  const wasPaused = state.status === "paused";
  state.status = "running";
  delete state.frozenForCommit;
  rooms.store.save(container);
  if (wasPaused) announce(rooms, container, "unpause");
}
