/** The daemon: puts the rooms together, brings the host to what the database says, serves until it is told to stop. */
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Listening, listen } from "../api/listen.ts";
import type { ApiRooms } from "../api/rooms.ts";
import { Api } from "../api/server.ts";
import { liveOnNetworks } from "../containers/connect.ts";
import type { Container } from "../containers/container.ts";
import { Containers } from "../containers/containers.ts";
import { handleExit } from "../containers/exit.ts";
import type { ContainerRecord } from "../containers/record.ts";
import { findRunning, removeStrays, settle, startByPolicy } from "../containers/recover.ts";
import type { Rooms } from "../containers/rooms.ts";
import { ContainerStore } from "../containers/store.ts";
import { Events } from "../events/events.ts";
import { type ImageSettings, Images } from "../images/images.ts";
import { mountMissingHierarchies } from "../kernel/cgroups.ts";
import { O_CLOEXEC, O_CREAT, O_RDWR, openPath, tryLock } from "../kernel/files.ts";
import { isAlive } from "../kernel/process.ts";
import { invalidParameter, systemError } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { formatRfc3339Nano } from "../lib/time.ts";
import { version } from "../lib/version.ts";
import { Networks } from "../networks/networks.ts";
import { hostFacts } from "../runtime/host-facts.ts";
import { LogRotation } from "../runtime/rotation.ts";
import { Runtime } from "../runtime/runtime.ts";
import { prepareFilter } from "../runtime/spec.ts";
import { StateDatabase } from "../state/database.ts";
import { ContentStore } from "../storage/content.ts";
import { selectDriver } from "../storage/driver.ts";
import { LayerStore } from "../storage/layers.ts";
import { RootfsStore } from "../storage/rootfs.ts";
import { Volumes } from "../volumes/volumes.ts";
import type { DaemonConfig, ReloadableConfig } from "./config.ts";
import { containerSettings } from "./container-settings.ts";
import { keepSmall } from "./footprint.ts";
import { programPath } from "./programs.ts";
import { SystemFacts } from "./system-info.ts";
import { systemSettings } from "./system-settings.ts";

const pidfilePatience = 40;
const pidfilePauseMs = 50;

/** A running daemon. */
export class Daemon {
  readonly #config: DaemonConfig;
  readonly #log: Logger;
  readonly #db: StateDatabase;
  readonly #events: Events;
  readonly #images: Images;
  readonly #networks: Networks;
  readonly #volumes: Volumes;
  readonly #layers: LayerStore;
  readonly #runtimes = new Map<string, Runtime>();
  readonly #rooms: Rooms;
  readonly #engineId: string;
  /** Resolved when what was there before is mended: until then no end of a container is dealt with. */
  readonly #mended = Promise.withResolvers<void>();
  #listening: Listening | undefined;
  #stopTrimming: (() => void) | undefined;

  private constructor(config: DaemonConfig, log: Logger) {
    this.#config = config;
    this.#log = log;
    const { dataRoot, execRoot } = config;
    for (const directory of [dataRoot, execRoot]) mkdirSync(directory, { recursive: true, mode: 0o711 });
    const { bridge } = config.network;
    lock(join(dataRoot, "lock"), `data root ${dataRoot}`, "--data-root");
    lock(join(execRoot, "exec-lock"), `exec root ${execRoot}`, "--exec-root");
    if (bridge !== "none") lock(`/run/lock/brig-${bridge}`, `bridge ${bridge}`, "--bridge");
    const db = new StateDatabase(join(dataRoot, "state.db"));
    this.#db = db;
    this.#engineId = engineId(db);
    const driver = selectDriver(config.storageDriver, dataRoot, db);
    const content = new ContentStore(join(dataRoot, "content"));
    this.#layers = new LayerStore({ root: join(dataRoot, "layers"), db, driver });
    this.#layers.limitBytes = config.maxLayerBytes;
    const rootfs = new RootfsStore({ dataRoot, runRoot: execRoot, layers: this.#layers, driver });
    this.#events = new Events();
    const events = this.#events;
    this.#images = new Images({ db, content, layers: this.#layers, events, settings: imageSettings(config) });
    this.#volumes = new Volumes({ db, root: join(dataRoot, "volumes"), events });
    const warn = (message: string) => log.warn(message);
    this.#networks = new Networks({ db, events, settings: config.network, warn });
    const store = new ContainerStore(db);
    this.#rooms = {
      store,
      linkOwners: new Map(),
      execs: new Map(),
      images: this.#images,
      rootfs,
      networks: this.#networks,
      volumes: this.#volumes,
      events,
      runtimeFor: (name) => this.#runtimeFor(name),
      rotation: new LogRotation(),
      settings: containerSettings(config),
    };
    this.#images.usedBy = (imageId) =>
      [...store.all()]
        .filter(({ record }) => record.imageId === imageId)
        .map(({ id, name, running }) => ({ id, name, running }));
    this.#images.layersInUse = () => new Set([...store.all()].flatMap(({ record }) => layersUsedBy(record)));
    this.#images.graphDriver = (diffIds) => ({
      Name: driver.name,
      Data: Object.fromEntries(diffIds.slice(-1).map((diffId) => ["UpperDir", this.#layers.pathOf(diffId)])),
    });
    this.#volumes.usedBy = (name) =>
      [...store.all()]
        .filter(({ record }) => record.state.status !== "removing" && record.mounts.some(({ Name }) => Name === name))
        .map(({ id }) => id);
  }

  /**
   * Starts a daemon: recovers what is there, then serves. Throws where the roots are another daemon's, a host cannot be
   * listened on, or the data root is a newer Brig's.
   */
  static async start(config: DaemonConfig, log: Logger): Promise<Daemon> {
    await checkPidfile(config.pidfile);
    const daemon = new Daemon(config, log);
    await daemon.#recover();
    await daemon.#serve();
    mkdirSync(dirname(config.pidfile), { recursive: true });
    writeFileSync(config.pidfile, `${process.pid}`);
    // Whoever asks first is answered first.
    setTimeout(() =>
      prepareFilter({ host: hostFacts(), defaultSeccompProfile: daemon.#rooms.settings.seccompProfile }),
    );
    daemon.#stopTrimming = keepSmall();
    void startByPolicy(daemon.#rooms, (message) => log.error(message));
    return daemon;
  }

  async #recover(): Promise<void> {
    for (const problem of mountMissingHierarchies()) this.#log.warn(problem);
    await this.#layers.mend();
    await this.#volumes.mend();
    const warn = (message: string) => this.#log.warn(message);
    const runtimes = Object.keys(this.#config.runtimes).map((name) => this.#runtimeFor(name));
    const { live, ended } = await findRunning(this.#rooms, warn);
    this.#networks.start(live.map(liveOnNetworks));
    await removeStrays(this.#rooms, runtimes, live, warn);
    await settle(this.#rooms, runtimes, live, ended, warn);
    this.#mended.resolve();
    await this.#images.mend();
    if (live.length > 0 || ended.size > 0)
      this.#log.info("containers found", { running: live.length, ended: ended.size });
  }

  async #serve(): Promise<void> {
    const { store } = this.#rooms;
    const rooms: ApiRooms = {
      containers: new Containers(this.#rooms),
      images: this.#images,
      networks: this.#networks,
      volumes: this.#volumes,
      events: this.#events,
      system: new SystemFacts({
        settings: () => systemSettings(this.#config, this.#engineId, this.#rooms.rootfs.driverName),
        containers: () => countByState(store.all()),
        images: () => this.#images.count,
        driverStatus: () => this.#rooms.rootfs.status(),
        eventListeners: () => this.#events.listenerCount,
      }),
      log: this.#log,
      version,
    };
    const { hosts, group, tls } = this.#config;
    this.#listening = await listen(new Api(rooms), hosts, {
      group,
      tls,
      runRoot: this.#config.execRoot,
      log: this.#log,
    });
    this.#log.info("Daemon has completed initialization");
  }

  #runtimeFor(name: string): Runtime {
    const { runtimes, defaultRuntime, execRoot, systemdCgroup } = this.#config;
    const wanted = name || defaultRuntime;
    const known = this.#runtimes.get(wanted);
    if (known !== undefined) return known;
    const option = Object.hasOwn(runtimes, wanted) ? runtimes[wanted] : undefined;
    if (option === undefined) throw invalidParameter(`unknown or invalid runtime name: ${wanted}`);
    const runtime = new Runtime({
      name: wanted,
      runtimePath: programPath(option.path),
      conmonPath: programPath("conmon"),
      stateRoot: join(execRoot, wanted),
      runRoot: execRoot,
      systemdCgroup,
      runtimeArgs: option.args,
    });
    runtime.onExit((id, exitCode, finishedAtNs) => {
      const container = this.#rooms.store.byId(id);
      if (container === undefined) return;
      this.#mended.promise
        .then(() => handleExit(this.#rooms, container, { exitCode, finishedAt: formatRfc3339Nano(finishedAtNs) }))
        .catch((error) => this.#log.error(`the end of container ${id} was not clean: ${error}`));
    });
    this.#runtimes.set(wanted, runtime);
    return runtime;
  }

  /** SIGHUP: takes over what may change while the daemon runs. */
  reload(fresh: ReloadableConfig): void {
    Object.assign(this.#config, fresh);
    this.#log.level = fresh.debug ? "debug" : this.#config.logLevel;
    this.#images.settings = imageSettings(this.#config);
    this.#layers.limitBytes = this.#config.maxLayerBytes;
    this.#events.publish("daemon", "reload", this.#engineId, {
      debug: String(fresh.debug),
      labels: JSON.stringify(fresh.labels),
      "registry-mirrors": JSON.stringify(fresh.registryMirrors),
      "insecure-registries": JSON.stringify(fresh.insecureRegistries),
      "default-runtime": fresh.defaultRuntime,
    });
    this.#log.info("Reloaded configuration");
  }

  /** Stops serving. Containers go on. */
  async stop(): Promise<void> {
    await this.#listening?.close();
    this.#stopTrimming?.();
    this.#rooms.rotation.close();
    for (const runtime of this.#runtimes.values()) runtime.close();
    for (const container of this.#rooms.store.all()) clearTimeout(container.restartTimer);
    await this.#networks.close();
    this.#db.close();
    rmSync(this.#config.pidfile, { force: true });
  }
}

/** Locks what no two daemons can share, until the process ends. */
function lock(path: string, what: string, option: string): void {
  mkdirSync(dirname(path), { recursive: true });
  const fd = openPath(path, O_CREAT | O_RDWR | O_CLOEXEC, 0o600);
  if (!tryLock(fd, "exclusive"))
    throw systemError(`another daemon uses the ${what}: stop it, or choose another with ${option}`);
}

/** Throws where the file is another running daemon's: each would remove it as its own. */
async function checkPidfile(path: string): Promise<void> {
  // One that was killed may take a moment to go.
  for (let attempt = 0; isDaemons(path); attempt++) {
    if (attempt === pidfilePatience)
      throw systemError(`${path} is the pid file of a daemon that runs: stop it, or choose another with --pidfile`);
    await Bun.sleep(pidfilePauseMs);
  }
}

function isDaemons(pidfile: string): boolean {
  try {
    const pid = Number(readFileSync(pidfile, "utf8"));
    const nameOf = (process: number | "self") => readFileSync(`/proc/${process}/comm`, "utf8");
    return pid !== process.pid && isAlive(pid) && nameOf(pid) === nameOf("self");
  } catch {
    return false; // No such file, or no such process.
  }
}

function engineId(db: StateDatabase): string {
  const key = "engine-id";
  db.run("INSERT OR IGNORE INTO settings (key, value) VALUES (?, ?)", key, randomUUID());
  return db.get<{ value: string }>("SELECT value FROM settings WHERE key = ?", key)!.value;
}

function imageSettings(config: DaemonConfig): ImageSettings {
  const { registryMirrors, insecureRegistries, proxies } = config;
  const { maxConcurrentDownloads, maxConcurrentUploads, maxDownloadAttempts } = config;
  return {
    registryMirrors,
    insecureRegistries,
    maxConcurrentDownloads,
    maxConcurrentUploads,
    maxDownloadAttempts,
    proxies,
  };
}

function countByState(containers: Iterable<Container>): { running: number; paused: number; stopped: number } {
  const counts = { running: 0, paused: 0, stopped: 0 };
  for (const { record } of containers) {
    const { status } = record.state;
    counts[status === "running" || status === "paused" ? status : "stopped"]++;
  }
  return counts;
}

/** Layers that a container is made of, and those of images that it mounts. */
function layersUsedBy({ diffIds, mountDetails = {} }: ContainerRecord): string[] {
  return [...diffIds, ...Object.values(mountDetails).flatMap(({ layers = [] }) => layers)];
}
