/** Containers' networks: who is on them, at which address, reachable by which ports. */
import { randomBytes } from "node:crypto";
import { closeSync, readFileSync } from "node:fs";
import { createNetworkNamespace, insideNetworkNamespace } from "../kernel/namespaces.ts";
import { Netlink } from "../kernel/rtnetlink.ts";
import { notFound } from "../lib/errors.ts";
import type { StateDatabase } from "../state/database.ts";
import type { EndpointSettings, HostConfig, Network, NetworkingConfig, PortMap } from "../wire/engine-api.ts";
import { formatIpv4 } from "./addresses.ts";
import { forwards, turnOnForwarding } from "./bridge.ts";
import { BridgeNetwork } from "./bridge-network.ts";
import {
  endpointResource,
  endpointSettings,
  type FullNetworkSettings,
  idleEndpoint,
  type NetworkWithContainers,
  networkSettings,
  networkShape,
} from "./inspect.ts";
import { portMap } from "./ports.ts";
import type { Attachment, Endpoint, EndpointRecord, NetworkRecord } from "./record.ts";
import type { NetworkOptions } from "./settings.ts";
import { builtinName, type ConfigWithMac, checkNetworking } from "./validate.ts";

/** Where network events go. */
export interface EventSink {
  publish(type: "network", action: string, id: string, attributes: Record<string, string>): void;
}

/** What networks are made of. */
export interface NetworksInput {
  db: StateDatabase;
  events: EventSink;
  settings: NetworkOptions;
  /** Told of what goes wrong where nobody waits for an answer. */
  warn: (message: string) => void;
}

/** A container that is about to start. */
export interface OpenRequest {
  containerId: string;
  /** Without the slash. */
  name: string;
  config: ConfigWithMac;
  hostConfig: HostConfig;
  /** What the client asked for, by network name. */
  endpoints: Record<string, EndpointSettings>;
}

/** What a container asked for that does not run: it is shown at its places all the same. */
export type PlaceRequest = Pick<OpenRequest, "hostConfig" | "endpoints">;

/** The network side of a container that is starting. */
export interface Sandbox {
  sandboxId: string;
  /** To be joined while the sandbox is open; undefined: the host's own namespace. */
  namespacePath: string | undefined;
  endpoints: Record<string, EndpointSettings>;
  ports: PortMap;
  /** Links, addresses, routes, rules: everything a process in the namespace needs. Once, before the process starts. */
  connect(): void;
  /** To be called when the container's process has joined the namespace, and when it never will. Idempotent. */
  close(): void;
}

interface KnownNetwork extends NetworkRecord {
  id: string;
  name: string;
}

const forwardingKey = "networks.forwarding-enabled-in-boot";
const builtin: Record<string, NetworkRecord["driver"]> = { bridge: "bridge", host: "host", none: "null" };

/** All networks of a daemon. Nothing here forks or waits, except for what `start` does once. */
export class Networks {
  readonly #db: StateDatabase;
  readonly #events: EventSink;
  readonly #options: NetworkOptions;
  readonly #warn: (message: string) => void;
  readonly #networks = new Map<string, KnownNetwork>();
  /** By container. */
  readonly #endpoints = new Map<string, Endpoint[]>();
  /** Ids of the endpoints of which an event said that they are connected. */
  readonly #connected = new Set<string>();
  #bridge: BridgeNetwork | undefined;

  constructor({ db, events, settings, warn }: NetworksInput) {
    this.#db = db;
    this.#events = events;
    this.#options = settings;
    this.#warn = warn;
  }

  /**
   * Brings the host to what it should be: the bridge, the packet filter's table, the kernel's settings. Places of
   * containers that are not in `live` are given back. The same for a first start and one after a crash.
   */
  start(live: { containerId: string }[]): void {
    this.#loadNetworks();
    const running = this.#loadEndpoints(new Set(live.map(({ containerId }) => containerId)));
    const network = this.#networks.get("bridge");
    if (network === undefined) return;
    this.#bridge = new BridgeNetwork({
      options: this.#options,
      remembered: network.gateway,
      guardForwarding: this.#options.ipForward && this.#enableForwarding(),
      warn: this.#warn,
    });
    network.gateway = this.#bridge.gatewayWithPrefix;
    const { id, name: _, ...record } = network;
    this.#db.run("UPDATE networks SET record = ? WHERE id = ?", JSON.stringify(record), id);
    this.#bridge.start(running);
  }

  /** Refuses at creation what can be known to be wrong then. Throws Docker's sentences. */
  check(hostConfig: HostConfig, networkingConfig: NetworkingConfig | undefined, config: ConfigWithMac): void {
    checkNetworking(hostConfig, networkingConfig, config);
  }

  /** Takes addresses and ports for a container and makes its namespace. Throws Docker's sentences. */
  open({ containerId, name, config, hostConfig, endpoints }: OpenRequest): Sandbox {
    this.release(containerId);
    const network = this.#networkFor(hostConfig.NetworkMode ?? "", endpoints);
    const requested = endpoints[network.name] ?? endpoints[hostConfig.NetworkMode ?? ""] ?? {};
    const id = randomId();
    const attachment =
      network.driver === "bridge"
        ? this.#bridge!.reserve({ endpointId: id, containerName: name, config, hostConfig, requested })
        : undefined;
    const endpoint: Endpoint = {
      id,
      networkId: network.id,
      containerId,
      networkName: network.name,
      containerName: name,
      sandboxId: randomId(),
      requested,
      attachment,
    };
    this.#endpoints.set(containerId, [endpoint]);
    try {
      this.#save(endpoint);
      const namespaceFd = network.driver === "host" ? undefined : createNetworkNamespace();
      return this.#sandbox(endpoint, namespaceFd);
    } catch (error) {
      this.release(containerId);
      throw error;
    }
  }

  /** Gives back all that a container holds. Idempotent. Its links go with its namespace. */
  release(containerId: string): void {
    const endpoints = this.#endpoints.get(containerId);
    if (endpoints === undefined) return;
    this.#endpoints.delete(containerId);
    for (const { id } of endpoints) this.#bridge?.release(id);
    this.#db.run("DELETE FROM endpoints WHERE container_id = ?", containerId);
    for (const endpoint of endpoints) if (this.#connected.delete(endpoint.id)) this.#publish("disconnect", endpoint);
  }

  /** What `inspect` shows. Without addresses where the container does not run. `pid` is that of its first process. */
  settingsOf(containerId: string, pid: number, asked: PlaceRequest): FullNetworkSettings {
    const endpoints = this.#endpoints.get(containerId) ?? [];
    const settings = networkSettings(endpoints, endpoints.length === 0 || pid === 0 ? "" : `/proc/${pid}/ns/net`);
    const name = builtinName(asked.hostConfig.NetworkMode ?? "");
    if (endpoints.length === 0 && !name.startsWith("container:"))
      settings.Networks = { [name]: idleEndpoint(asked.endpoints[name] ?? {}, this.#networks.get(name)?.id ?? "") };
    return settings;
  }

  /** The ports of a running container, as the API shows them; empty where it does not run. */
  portsOf(containerId: string): PortMap {
    const attachment = this.#endpoints.get(containerId)?.[0]?.attachment;
    return attachment === undefined ? {} : portMap(attachment.ports, attachment.exposed);
  }

  /** To be called when a container was renamed while it runs. */
  rename(containerId: string, name: string): void {
    for (const endpoint of this.#endpoints.get(containerId) ?? []) {
      endpoint.containerName = name;
      this.#save(endpoint);
    }
  }

  /** Every network, without its containers. */
  list(): Network[] {
    return [...this.#networks.values()].map((network) => this.#shape(network));
  }

  /** One network by name, id or unambiguous beginning of its id. Throws `network x not found`. */
  inspect(nameOrId: string): NetworkWithContainers {
    const network = this.#find(nameOrId);
    const containers = [...this.#endpoints.values()].flat().filter(({ networkId }) => networkId === network.id);
    return {
      ...this.#shape(network),
      Containers: Object.fromEntries(containers.map((endpoint) => [endpoint.containerId, endpointResource(endpoint)])),
    };
  }

  /** Address that `host-gateway` stands for; "" where there is none. */
  get hostGateway(): string {
    if (this.#options.hostGatewayIp !== undefined) return this.#options.hostGatewayIp;
    return this.#bridge === undefined ? "" : formatIpv4(this.#bridge.bridge.gateway);
  }

  /** Puts back now what others have changed of Brig's rules; this is done every second by itself. */
  mend(): void {
    this.#bridge?.mend();
  }

  /** The daemon stops; containers stay connected and their ports published. */
  close(): void {
    this.#bridge?.close();
    this.#bridge = undefined;
  }

  /** Removes the bridge and all rules from the host, when no container runs. */
  destroy(): void {
    this.#bridge?.destroy();
    this.#bridge = undefined;
  }

  #sandbox(endpoint: Endpoint, namespaceFd: number | undefined): Sandbox {
    const { attachment } = endpoint;
    let fd = namespaceFd;
    return {
      sandboxId: endpoint.sandboxId,
      namespacePath: fd === undefined ? undefined : `/proc/${process.pid}/fd/${fd}`,
      endpoints: { [endpoint.networkName]: endpointSettings(endpoint) },
      ports: attachment === undefined ? {} : portMap(attachment.ports, attachment.exposed),
      connect: () => {
        if (fd !== undefined) {
          if (attachment === undefined) insideNetworkNamespace(fd, bringLoopbackUp);
          else this.#bridge!.connect(endpoint.id, fd);
        }
        this.#connected.add(endpoint.id);
        this.#publish("connect", endpoint);
      },
      close: () => {
        if (fd !== undefined) closeSync(fd);
        fd = undefined;
      },
    };
  }

  #networkFor(mode: string, endpoints: Record<string, EndpointSettings>): KnownNetwork {
    // Without a default bridge a container that names no network has none.
    if ((mode === "" || mode === "default") && !this.#networks.has("bridge")) return this.#find("none");
    const network = this.#find(builtinName(mode));
    for (const name of Object.keys(endpoints)) this.#find(builtinName(name));
    return network;
  }

  #find(nameOrId: string): KnownNetwork {
    const named = this.#networks.get(nameOrId);
    if (named !== undefined) return named;
    const matching = /^[0-9a-f]{1,64}$/.test(nameOrId)
      ? [...this.#networks.values()].filter(({ id }) => id.startsWith(nameOrId))
      : [];
    if (matching.length !== 1) throw notFound(`network ${nameOrId} not found`);
    return matching[0]!;
  }

  #shape({ id, name, ...record }: KnownNetwork): Network {
    return networkShape(id, name, record, record.driver === "bridge" ? this.#bridge?.bridge : undefined, this.#options);
  }

  #publish(action: "connect" | "disconnect", { networkId, networkName, containerId }: Endpoint): void {
    this.#events.publish("network", action, networkId, {
      container: containerId,
      name: networkName,
      type: builtin[networkName] ?? "bridge",
    });
  }

  #save({ id, networkId, containerId, ...record }: Endpoint): void {
    this.#db.run(
      "INSERT INTO endpoints (id, network_id, container_id, record) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
      id,
      networkId,
      containerId,
      JSON.stringify(record satisfies EndpointRecord),
    );
  }

  #loadNetworks(): void {
    const created = `${new Date().toISOString().slice(0, -1)}000000Z`;
    for (const [name, driver] of Object.entries(builtin))
      this.#db.run(
        "INSERT INTO networks (id, name, record) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
        randomId(),
        name,
        JSON.stringify({ driver, created } satisfies NetworkRecord),
      );
    this.#networks.clear();
    for (const { id, name, record } of this.#db.all<{ id: string; name: string; record: string }>(
      "SELECT id, name, record FROM networks",
    ))
      if (name !== "bridge" || this.#options.bridge !== "none")
        this.#networks.set(name, { id, name, ...(JSON.parse(record) as NetworkRecord) });
  }

  /** Keeps the endpoints of live containers, drops the others, and returns those on the bridge. */
  #loadEndpoints(live: Set<string>): Map<string, Attachment> {
    this.#endpoints.clear();
    this.#connected.clear();
    const running = new Map<string, Attachment>();
    this.#db.transaction(() => {
      for (const row of this.#db.all<{ id: string; network_id: string; container_id: string; record: string }>(
        "SELECT id, network_id, container_id, record FROM endpoints",
      )) {
        if (!live.has(row.container_id)) {
          this.#db.run("DELETE FROM endpoints WHERE id = ?", row.id);
          continue;
        }
        const record = JSON.parse(row.record) as EndpointRecord;
        const endpoint: Endpoint = { ...record, id: row.id, networkId: row.network_id, containerId: row.container_id };
        this.#endpoints.set(row.container_id, [...(this.#endpoints.get(row.container_id) ?? []), endpoint]);
        this.#connected.add(row.id);
        if (record.attachment !== undefined) running.set(row.id, record.attachment);
      }
    });
    return running;
  }

  /** Whether forwarding is on because of Brig, since the machine was booted. */
  #enableForwarding(): boolean {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    if (!forwards()) {
      this.#db.run("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", forwardingKey, boot);
      turnOnForwarding();
    }
    const row = this.#db.get<{ value: string }>("SELECT value FROM settings WHERE key = ?", forwardingKey);
    return row?.value === boot;
  }
}

function bringLoopbackUp(): void {
  const netlink = new Netlink();
  try {
    netlink.setLoopbackUp();
  } finally {
    netlink.close();
  }
}

function randomId(): string {
  return randomBytes(32).toString("hex");
}
