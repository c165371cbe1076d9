/** The rooms below, as far as the API needs them: what it calls, and nothing else. */
import type { Containers } from "../containers/containers.ts";
import type { Events } from "../events/events.ts";
import type { Images } from "../images/images.ts";
import type { Networks } from "../networks/networks.ts";
import type { Volumes } from "../volumes/volumes.ts";
import type { SystemInfo, SystemVersion } from "../wire/engine-api.ts";

export type ContainersRoom = Pick<
  Containers,
  | "attach"
  | "commit"
  | "connect"
  | "create"
  | "diff"
  | "disconnect"
  | "execCreate"
  | "execInspect"
  | "execResize"
  | "execStart"
  | "export"
  | "extractArchive"
  | "inspect"
  | "kill"
  | "list"
  | "logs"
  | "pause"
  | "prune"
  | "readArchive"
  | "remove"
  | "rename"
  | "resize"
  | "restart"
  | "start"
  | "stats"
  | "statPath"
  | "stop"
  | "top"
  | "trace"
  | "unpause"
  | "update"
  | "wait"
> & {
  /** Throws where there is none. */
  find(nameOrId: string): { record: { config: { Tty?: boolean } } };
};

/** A client's end of a container's or exec's streams. */
export type Attachment = Awaited<ReturnType<ContainersRoom["attach"]>>;
export type AttachOptions = Parameters<ContainersRoom["attach"]>[1];
export type LogOptions = Parameters<ContainersRoom["logs"]>[1];

export type ImagesRoom = Pick<
  Images,
  | "history"
  | "login"
  | "remoteDescriptor"
  | "search"
  | "importTar"
  | "inspect"
  | "layersSize"
  | "list"
  | "load"
  | "prune"
  | "pull"
  | "push"
  | "remove"
  | "save"
  | "tag"
>;
export type NetworksRoom = Pick<Networks, "create" | "inspect" | "list" | "prune" | "remove" | "reset" | "resolve">;
export type VolumesRoom = Pick<Volumes, "create" | "get" | "list" | "listWithUsage" | "prune" | "remove">;

export interface SystemRoom {
  info(): Promise<SystemInfo>;
  version(): Promise<SystemVersion>;
}

/** What the API tells that nobody asked it for. */
export interface ApiLog {
  debug(message: string): void;
  error(message: string): void;
}

export interface ApiRooms {
  containers: ContainersRoom;
  images: ImagesRoom;
  networks: NetworksRoom;
  volumes: VolumesRoom;
  events: Events;
  system: SystemRoom;
  log: ApiLog;
  /** Brig's own version, for the Server header. */
  version: string;
}
