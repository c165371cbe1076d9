/** Hosts made of network namespaces, and servers in them that tell who asked. */
import { closeSync } from "node:fs";
import { createNetworkNamespace, insideNetworkNamespace, openNetworkNamespace } from "../../src/kernel/namespaces.ts";

export class LabHost {
  readonly namespace: number;
  readonly path: string;
  readonly #servers: { stop(): void }[] = [];

  /** `pid`: a process whose namespace it is, a container's say; without one it gets its own. */
  constructor(pid?: number) {
    this.namespace = pid === undefined ? createNetworkNamespace() : openNetworkNamespace(pid);
    this.path = `/proc/${process.pid}/fd/${this.namespace}`;
    if (pid === undefined) this.sh("ip link set lo up");
  }

  /** Runs a shell script inside and returns what it printed. Throws where it fails. */
  sh(script: string): string {
    const { success, stdout, stderr } = Bun.spawnSync(["nsenter", `--net=${this.path}`, "sh", "-ec", script]);
    if (!success) throw new Error(`${script}: ${stderr}`);
    return stdout.toString();
  }

  inside<T>(work: () => T): T {
    return insideNetworkNamespace(this.namespace, work);
  }

  /** Makes a pair of links: `name` here and `otherName` there. `addresses` are with prefix lengths. */
  link(name: string, other: LabHost, otherName: string, options: { here?: string[]; there?: string[] } = {}): void {
    this.sh(`ip link add ${name} type veth peer name ${otherName} netns ${other.path}; ip link set dev ${name} up`);
    other.sh(`ip link set ${otherName} up`);
    for (const address of options.here ?? []) this.address(name, address);
    for (const address of options.there ?? []) other.address(otherName, address);
  }

  address(name: string, address: string): void {
    this.sh(`ip addr add ${address} dev ${name}${address.includes(":") ? " nodad" : ""}`);
  }

  /** A bridge with addresses. */
  bridge(name: string, ...addresses: string[]): void {
    this.sh(`ip link add ${name} type bridge; ip link set dev ${name} up`);
    for (const address of addresses) this.address(name, address);
  }

  /** Waits until all IPv6 addresses are in use: the kernel lets a link that has just come up wait for a moment. */
  async settled(): Promise<void> {
    for (let attempt = 0; this.sh("ip -6 addr show tentative") !== "" && attempt < 100; attempt++) await Bun.sleep(50);
  }

  /** TCP and UDP on a port of every address: answers with who asked. */
  async serve(port: number, word: string): Promise<void> {
    const shown = (address: string) => address.replace(/^::ffff:/, "");
    const tcp = this.inside(() =>
      Bun.listen({
        hostname: "::",
        port,
        socket: { data: (socket) => void socket.end(`${word} ${shown(socket.remoteAddress)}\n`) },
      }),
    );
    this.#servers.push({ stop: () => tcp.stop(true) });
    const udp = await this.inside(() =>
      Bun.udpSocket({
        hostname: "::",
        port,
        socket: {
          data: (socket, _data, fromPort, from) => void socket.send(`${word} ${shown(from)}\n`, fromPort, from),
        },
      }),
    );
    this.#servers.push({ stop: () => udp.close() });
  }

  /** Asks a server from here: what it said, or "" where there is no answer in time. */
  async ask(address: string, port: number, protocol: "tcp" | "udp" = "tcp", seconds = 0.7): Promise<string> {
    const script = `exec 3<>/dev/${protocol}/${address}/${port}; echo hello >&3; head -n1 <&3`;
    const child = Bun.spawn(["nsenter", `--net=${this.path}`, "timeout", String(seconds), "bash", "-c", script], {
      stdin: "ignore",
      stderr: "ignore",
    });
    return (await child.stdout.text()).trim();
  }

  /** Whether an address answers an echo request. */
  async ping(address: string): Promise<boolean> {
    const child = Bun.spawn(["nsenter", `--net=${this.path}`, "ping", "-n", "-c1", "-W1", address], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
    });
    return (await child.exited) === 0;
  }

  close(): void {
    for (const server of this.#servers) server.stop();
    closeSync(this.namespace);
  }
}

/** `ask` many at once: answers by the names of the questions. */
export async function together(questions: Record<string, Promise<string>>): Promise<Record<string, string>> {
  const names = Object.keys(questions);
  const answers = await Promise.all(Object.values(questions));
  return Object.fromEntries(names.map((name, index) => [name, answers[index]!]));
}
