/**
 * Links on the default network (`--link container:alias`): lines in /etc/hosts, variables that tell where the other's
 * ports are, and the way to these ports where containers may not talk to each other. Other networks have names.
 */
import { conflict } from "../lib/errors.ts";
import type { LinkedPorts } from "../networks/networks.ts";
import { exposedPorts } from "../networks/record.ts";
import type { HostConfig } from "../wire/engine-api.ts";
import type { Container } from "./container.ts";
import { changeEtcFile } from "./etc-files.ts";
import type { ContainerRecord } from "./record.ts";
import type { Rooms } from "./rooms.ts";

/** One link of a container that starts. */
export interface ContainerLink {
  alias: string;
  /** Name of the container whose link it is. */
  owner: string;
  child: Container;
  address: string;
}

/** The links of a container on the default network. Throws where a linked container does not run, unless `onlyRunning`. */
export function linksOf(rooms: Rooms, record: ContainerRecord, { onlyRunning = false } = {}): ContainerLink[] {
  const { hostConfig, name } = record;
  if (!isOnDefaultNetwork(hostConfig)) return [];
  return (hostConfig.Links ?? []).flatMap((link) => {
    const [target, alias] = splitLink(link);
    const child = rooms.store.find(target);
    if (!child.running && onlyRunning) return [];
    if (!child.running)
      throw conflict(`Cannot link to a non running container: /${child.name} AS /${name}/${alias || child.name}`);
    return { alias: alias || child.name, owner: name, child, address: addressOf(rooms, child) };
  });
}

/** HostConfig.Links as inspect shows them: `/container:/owner/alias`. */
export function shownLinks({ hostConfig: { Links }, name }: ContainerRecord): string[] | null {
  if (!Links?.length) return null;
  return Links.map((link) => {
    const [target, alias] = splitLink(link);
    return `/${target}:/${name}/${alias || target}`;
  });
}

/** `container:alias` or `container`, also as inspect shows it: `/container:/owner/alias`. */
export function splitLink(link: string): [target: string, alias: string] {
  const [target = "", alias = ""] = link.split(":");
  return [target.replace(/^\//, ""), alias.slice(alias.lastIndexOf("/") + 1)];
}

/** The lines of /etc/hosts, as hostsFile() takes them. */
export function linkLines(links: ContainerLink[]): { address: string; names: string[] }[] {
  return links.map((link) => ({ address: link.address, names: namesOf(link) }));
}

/** The variables that tell of the linked containers, under what the container sets itself. */
export function linkEnvironment(links: ContainerLink[]): string[] {
  return links.flatMap(({ alias, owner, child, address }) => {
    const prefix = alias.toUpperCase().replaceAll("-", "_");
    const variables = [`${prefix}_NAME=/${owner}/${alias}`];
    const ports = portsOf(child).sort((a, b) => a.port - b.port || (a.protocol < b.protocol ? -1 : 1));
    for (const [index, { port, protocol }] of ports.entries()) {
      const url = `${protocol}://${address}:${port}`;
      const name = `${prefix}_PORT_${port}_${protocol.toUpperCase()}`;
      if (index === 0) variables.push(`${prefix}_PORT=${url}`);
      variables.push(`${name}=${url}`, `${name}_ADDR=${address}`, `${name}_PORT=${port}`, `${name}_PROTO=${protocol}`);
    }
    for (const entry of child.record.config.Env ?? [])
      if (!/^(HOME|PATH)=/.test(entry)) variables.push(`${prefix}_ENV_${entry}`);
    return variables;
  });
}

/** The ports of linked containers, to which the packet filter opens the way. */
export function linkedPorts(links: ContainerLink[]): LinkedPorts[] {
  return links.map(({ child, address }) => ({ address, ports: portsOf(child) }));
}

/** A linked container has come back, perhaps at another address: the files of those that know it follow. */
export function followLinked(rooms: Rooms, child: Container): void {
  for (const owner of rooms.linkOwners.get(child.id) ?? []) {
    const container = rooms.store.byId(owner);
    if (container === undefined || !container.running) continue;
    const links = linksOf(rooms, container.record, { onlyRunning: true });
    const come = linkLines(links.filter((link) => link.child === child));
    changeEtcFile(rooms, owner, "hosts", (content) => withLinks(content, come));
    rooms.networks.setLinks(owner, linkedPorts(links));
  }
}

/** Content of /etc/hosts in which linked containers have come to other addresses. */
function withLinks(content: string, links: { address: string; names: string[] }[]): string {
  const lines = content.split("\n");
  for (const { address, names } of links) {
    const at = lines.findIndex((line) => line.endsWith(`\t${names.join(" ")}`));
    if (at >= 0) lines[at] = `${address}\t${names.join(" ")}`;
  }
  return lines.join("\n");
}

/** A container with links runs: it is to hear of the others, and may reach their ports. */
export function establishLinks(rooms: Rooms, { id }: Container, links: ContainerLink[]): void {
  if (links.length === 0) return;
  for (const { child } of links) {
    const owners = rooms.linkOwners.get(child.id) ?? new Set();
    rooms.linkOwners.set(child.id, owners.add(id));
  }
  rooms.networks.setLinks(id, linkedPorts(links));
}

/** Whether the default network is the one a container is run with. */
export function isOnDefaultNetwork({ NetworkMode }: HostConfig): boolean {
  return ["", "default", "bridge"].includes(NetworkMode ?? "");
}

/** Docker's, in its order. */
function namesOf({ alias, child }: ContainerLink): string[] {
  const names = [alias, child.record.config.Hostname ?? ""].filter((name) => name !== "");
  return alias === child.name ? names : [...names, child.name];
}

function addressOf(rooms: Rooms, child: Container): string {
  const { Networks = {} } = rooms.networks.settingsOf(child.id, child.record.state.pid, child.record);
  const address = Networks.bridge?.IPAddress || Networks.bridge?.GlobalIPv6Address;
  if (!address) throw conflict(`Cannot link to /${child.name}, as it does not belong to the default network`);
  return address;
}

function portsOf({ record }: Container): LinkedPorts["ports"] {
  return exposedPorts(record.config).map((key) => {
    const [port = "", protocol = "tcp"] = key.split("/");
    return { port: Number(port), protocol: protocol as LinkedPorts["ports"][number]["protocol"] };
  });
}
