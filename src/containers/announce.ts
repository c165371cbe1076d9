/** Events of containers, with the attributes Docker gives them. */
import type { Container } from "./container.ts";
import type { Rooms } from "./rooms.ts";

/** Publishes `action` about a container: its labels, image and name, and what `extra` adds. */
export function announce(rooms: Rooms, container: Container, action: string, extra: Record<string, string> = {}): void {
  const { config, name, id } = container.record;
  rooms.events.publish("container", action, id, { ...config.Labels, image: config.Image ?? "", name, ...extra });
}
