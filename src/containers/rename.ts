/** rename */
import { conflict, invalidParameter } from "../lib/errors.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import type { Rooms } from "./rooms.ts";

/** POST /containers/{id}/rename. Throws where the name is empty, out of rule, the same, or taken. */
export function renameContainer(rooms: Rooms, container: Container, newName: string): void {
  const name = newName.startsWith("/") ? newName.slice(1) : newName;
  if (name === "") throw invalidParameter("Neither old nor new names may be empty");
  if (name === container.name) throw invalidParameter("Renaming a container with the same name as its current name");
  if (container.record.state.status === "removing" || container.record.state.status === "dead")
    throw conflict(`container ${container.id} is marked for removal and cannot be renamed`);
  rooms.store.checkName(name, container);
  const oldName = `/${container.name}`;
  rooms.store.rename(container, name);
  rooms.networks.rename(container.id, name);
  announce(rooms, container, "rename", { oldName });
}
