/**
 * The two sockets of a container's name server. They belong to its network namespace, and conmon holds them open as
 * well: so what a container asks while no daemon runs waits in them for the next one.
 */
import { closeSync } from "node:fs";
import { bindLocal, boundTo, type SocketKind } from "../../kernel/inet.ts";
import { insideNetworkNamespace } from "../../kernel/namespaces.ts";
import { takeDescriptor } from "../../kernel/process.ts";
import { nameServerAddress } from "./redirect.ts";

/** About 1300 queries wait while no daemon is there. */
const receiveBytes = 512 * 1024;

export interface NameSockets {
  udpFd: number;
  tcpFd: number;
  /** Where `redirectNames` leads port 53 of 127.0.0.11. */
  udpPort: number;
  tcpPort: number;
}

/** Binds both in the namespace, where loopback may be down still. Both are to be given to conmon (`keptFds`). */
export function createNameSockets(namespaceFd: number): NameSockets {
  return insideNetworkNamespace(namespaceFd, () => {
    const udpFd = bindLocal("udp", nameServerAddress, { receiveBytes });
    try {
      return withPorts(udpFd, bindLocal("tcp", nameServerAddress))!;
    } catch (error) {
      closeSync(udpFd);
      throw error;
    }
  });
}

/**
 * Takes the sockets back from the conmon that holds them as descriptors `firstFd` and the one after. Undefined where it
 * is gone or holds no such sockets: then new ones have to be made, and led to.
 */
export function adoptNameSockets(conmon: { pid: number; startTime: number }, firstFd: number): NameSockets | undefined {
  const udpFd = takeSocket(conmon, firstFd, "udp");
  const tcpFd = takeSocket(conmon, firstFd + 1, "tcp");
  if (udpFd !== undefined && tcpFd !== undefined) return withPorts(udpFd, tcpFd);
  for (const fd of [udpFd, tcpFd]) if (fd !== undefined) closeSync(fd);
  return undefined;
}

/** Closes sockets that were not given to a server. */
export function closeNameSockets({ udpFd, tcpFd }: NameSockets): void {
  closeSync(udpFd);
  closeSync(tcpFd);
}

function takeSocket({ pid, startTime }: { pid: number; startTime: number }, fd: number, kind: SocketKind) {
  const taken = takeDescriptor(pid, startTime, fd);
  if (taken === undefined) return undefined;
  const bound = boundTo(taken);
  if (bound?.kind === kind && bound.address === nameServerAddress) return taken;
  closeSync(taken);
  return undefined;
}

function withPorts(udpFd: number, tcpFd: number): NameSockets {
  return { udpFd, tcpFd, udpPort: boundTo(udpFd)!.port, tcpPort: boundTo(tcpFd)!.port };
}
