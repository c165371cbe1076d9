/** What the verbs of a container's life work with; put together by daemon/. */
import type { Events } from "../events/events.ts";
import type { Images } from "../images/images.ts";
import type { Networks } from "../networks/networks.ts";
import type { LogRotation } from "../runtime/rotation.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { RootfsStore } from "../storage/rootfs.ts";
import type { Volumes } from "../volumes/volumes.ts";
import type { CheckHost } from "./check-request.ts";
import type { Exec } from "./exec.ts";
import type { HostConfigDefaults } from "./fill-host-config.ts";
import type { ContainerStore } from "./store.ts";

/** What of the daemon's configuration concerns containers. */
export interface ContainerSettings {
  dataRoot: string;
  runRoot: string;
  /** Cgroup under which containers' own are made; empty for the default. */
  cgroupParent: string;
  systemdCgroup: boolean;
  /** Path of the init program for `--init`. */
  initPath: string;
  /** Whether `--init` is the default. */
  init: boolean;
  /** Limits that containers get unless they name their own. */
  ulimits: { Name: string; Soft: number; Hard: number }[];
  /** The default seccomp profile: `builtin`, `unconfined`, or JSON. */
  seccompProfile: string;
  noNewPrivileges: boolean;
  hostConfigDefaults: HostConfigDefaults;
  checkHost: CheckHost;
}

export interface Rooms {
  store: ContainerStore;
  /** Who has links to a container, by its id. */
  linkOwners: Map<string, Set<string>>;
  /** Execs of all containers, by id. */
  execs: Map<string, Exec>;
  images: Images;
  rootfs: RootfsStore;
  networks: Networks;
  volumes: Volumes;
  events: Events;
  /** The OCI runtime of that name, as HostConfig.Runtime has it. Throws on an unknown one. */
  runtimeFor(name: string): Runtime;
  rotation: LogRotation;
  settings: ContainerSettings;
}
