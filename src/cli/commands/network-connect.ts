import type { Command } from "../command.ts";
import { keyValues } from "./key-values.ts";

export const command: Command = {
  usage: "[OPTIONS] NETWORK CONTAINER",
  short: "Connect a container to a network",
  args: { min: 2, max: 2 },
  flags: [
    { name: "alias", type: "list", value: "strings", usage: "Add network-scoped alias for the container" },
    { name: "driver-opt", type: "list", value: "strings", usage: "driver options for the network" },
    {
      name: "gw-priority",
      type: "int",
      usage: "Highest gw-priority provides the default gateway. Accepts positive and negative values.",
    },
    { name: "ip", type: "string", usage: 'IPv4 address (e.g., "172.30.100.104")' },
    { name: "ip6", type: "string", usage: 'IPv6 address (e.g., "2001:db8::33")' },
    { name: "link", type: "list", usage: "Add link to another container" },
    { name: "link-local-ip", type: "list", value: "strings", usage: "Add a link-local address for the container" },
  ],
  async run(ctx, flags) {
    const [network = "", container = ""] = flags.args;
    await ctx.engine.call("POST", `/networks/${encodeURIComponent(network)}/connect`, {
      json: {
        Container: container,
        EndpointConfig: {
          IPAMConfig: {
            IPv4Address: flags.string("ip"),
            IPv6Address: flags.string("ip6"),
            LinkLocalIPs: flags.list("link-local-ip"),
          },
          Links: flags.list("link"),
          Aliases: flags.list("alias"),
          DriverOpts: keyValues(flags.list("driver-opt")),
          GwPriority: flags.int("gw-priority"),
        },
      },
    });
    return 0;
  },
};
