/** Out of memory: conmon makes a file of that name in the bundle whenever the kernel has killed one of the container's processes. */
import { existsSync, rmSync, watch } from "node:fs";
import { join } from "node:path";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import { bundleDir } from "./paths.ts";
import type { Rooms } from "./rooms.ts";

const fileName = "oom";

/** Notes what has been killed and what will be, until the run ends. */
export function watchOom(rooms: Rooms, container: Container): void {
  container.oomWatcher?.close();
  container.oomWatcher = undefined;
  try {
    container.oomWatcher = watch(bundleDir(rooms.settings, container.id), { persistent: false }, (_, name) => {
      if (name === fileName) noteOom(rooms, container);
    });
  } catch {} // Its bundle is gone, or the kernel watches no more: the end of the run still looks.
  noteOom(rooms, container);
}

/** Looks for the file: records it, tells of it, and takes it away, so that the next one is seen too. */
export function noteOom(rooms: Rooms, container: Container): void {
  const path = join(bundleDir(rooms.settings, container.id), fileName);
  if (!existsSync(path) || !container.running) return;
  container.record.state.oomKilled = true;
  rooms.store.save(container);
  rmSync(path, { force: true });
  announce(rooms, container, "oom");
}
