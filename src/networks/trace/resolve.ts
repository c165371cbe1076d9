/** What a name stands for where a trace begins: /etc/hosts, the names of networks, and then whoever else is asked. */
import { lookup } from "node:dns/promises";
import { formatAddress, parseAddress } from "../addresses.ts";
import { parseResolvConf } from "../files.ts";
import { askNames } from "./ask-names.ts";

/** Addresses, IPv4 first, and who said so; or who was asked in vain. */
export type Resolved = { addresses: string[]; by: string } | { failure: string };

const lookupMs = 3000;
/** Names are looked for in no more domains than these. */
const domainLimit = 4;

/** The addresses of a name in a hosts(5) file, IPv4 first. */
export function addressesInHosts(content: string, name: string): string[] {
  const wanted = name.toLowerCase().replace(/\.$/, "");
  const found = content.split("\n").flatMap((line) => {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    return names.some((word) => word.toLowerCase() === wanted) ? address : [];
  });
  return inOrder(found);
}

/** In canonical form, each once, IPv4 first; what is no address is left out. */
function inOrder(texts: string[]): string[] {
  const addresses = texts.flatMap((text) => parseAddress(text) ?? []);
  return [...new Set(addresses.sort((a, b) => a.family - b.family).map(formatAddress))];
}

/** Asks the servers of a resolv.conf(5), as a process in the namespace would. `asked` says who they are. */
export async function resolveElsewhere(
  inside: <T>(work: () => T) => T,
  resolvConf: string,
  name: string,
  asked: (servers: string[]) => string,
): Promise<Resolved> {
  const { nameservers, search, options } = parseResolvConf(resolvConf);
  const servers = nameservers.filter((server) => parseAddress(server) !== undefined);
  if (servers.length === 0) return { failure: "there is no name server to ask" };
  const who = asked(servers);
  const ndots = Number(
    /^ndots:(\d{1,2})$/.exec(options.findLast((option) => option.startsWith("ndots:")) ?? "")?.[1] ?? 1,
  );
  const bare = name.replace(/\.$/, "");
  const inDomains = name.endsWith(".") ? [] : search.slice(0, domainLimit).map((domain) => `${bare}.${domain}`);
  const isFirst = bare.split(".").length - 1 >= ndots;
  let failure = "";
  for (const candidate of isFirst ? [bare, ...inDomains] : [...inDomains, bare]) {
    const answer = await askNames(inside, servers, candidate);
    if (typeof answer === "object" && answer.addresses.length > 0)
      return { addresses: answer.addresses, by: `${who}${candidate === bare ? "" : `, as ${candidate}`}` };
    // Who does not answer is not asked again.
    if (answer === "silent") return { failure: `${who} does not answer` };
    failure ||= answer === "failed" ? `${who} cannot tell` : `${who} knows no such name`;
  }
  return { failure };
}

/** What a process of the host is told. */
export async function resolveOnHost(name: string): Promise<Resolved> {
  const { promise, resolve } = Promise.withResolvers<Resolved>();
  const timer = setTimeout(() => resolve({ failure: "the host's name servers do not answer" }), lookupMs);
  lookup(name, { all: true }).then(
    (found) => {
      const addresses = inOrder(found.map(({ address }) => address));
      resolve(
        addresses.length === 0 ? { failure: "the host knows no such name" } : { addresses, by: "the host's resolver" },
      );
    },
    () => resolve({ failure: "the host knows no such name" }),
  );
  return promise.finally(() => clearTimeout(timer));
}
