/** Who is found by which name on one network. */
import type { Endpoint } from "./record.ts";

export class NetworkNames {
  readonly #byName = new Map<string, Set<Endpoint>>();
  readonly #byAddress = new Map<string, Endpoint>();

  add(endpoint: Endpoint): void {
    for (const name of endpoint.names) {
      const key = name.toLowerCase();
      const holders = this.#byName.get(key) ?? new Set();
      this.#byName.set(key, holders.add(endpoint));
    }
    for (const address of addressesOf(endpoint)) this.#byAddress.set(address, endpoint);
  }

  /** With the names it was added under. */
  remove(endpoint: Endpoint): void {
    for (const name of endpoint.names) {
      const key = name.toLowerCase();
      const holders = this.#byName.get(key);
      if (holders?.delete(endpoint) && holders.size === 0) this.#byName.delete(key);
    }
    for (const address of addressesOf(endpoint))
      if (this.#byAddress.get(address) === endpoint) this.#byAddress.delete(address);
  }

  /** `name` in lower case. */
  find(name: string): Iterable<Endpoint> {
    return this.#byName.get(name) ?? [];
  }

  at(address: string): Endpoint | undefined {
    return this.#byAddress.get(address);
  }
}

function addressesOf({ attachment }: Endpoint): string[] {
  return [attachment?.v4, attachment?.v6].flatMap((placement) => placement?.address ?? []);
}

/** Docker's names of an endpoint, in order and each once. `hostname` is the container's own, `id` its id. */
export function dnsNames(name: string, aliases: string[], id: string, hostname: string): string[] {
  return [...new Set([name, ...aliases, id.slice(0, 12), hostname].filter((word) => word !== ""))];
}
