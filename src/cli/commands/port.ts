import { parseInteger } from "../../lib/flags.ts";
import type { ContainerInspectResponse } from "../../wire/engine-api.ts";
import { type Command, StatusError } from "../command.ts";
import { joinHostPort } from "./port-text.ts";

export const command: Command = {
  usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
  short: "List port mappings or a specific mapping for the container",
  aliases: ["container port", "port"],
  args: { min: 1, max: 2 },
  flags: [],
  async run(ctx, flags) {
    const [name = "", wanted] = flags.args;
    const container = await ctx.engine.json<ContainerInspectResponse>(
      "GET",
      `/containers/${encodeURIComponent(name)}/json`,
    );
    const ports = container.NetworkSettings?.Ports ?? {};
    if (wanted !== undefined) {
      const bindings = ports[portKey(wanted)];
      if (bindings === undefined || bindings === null || bindings.length === 0) {
        throw new StatusError(`Error: No public port '${wanted}' published for ${name}`, 1);
      }
      for (const { HostIp = "", HostPort = "" } of bindings) ctx.out(`${joinHostPort(HostIp, HostPort)}\n`);
      return 0;
    }
    const lines: string[] = [];
    const inOrder = Object.entries(ports).sort(([a], [b]) => naturalOrder(a, b));
    for (const [port, bindings] of inOrder) {
      for (const { HostIp = "", HostPort = "" } of bindings ?? []) {
        lines.push(`${port} -> ${joinHostPort(HostIp, HostPort)}\n`);
      }
    }
    ctx.out(lines.join(""));
    return 0;
  },
};

function naturalOrder(a: string, b: string): number {
  return Number.parseInt(a, 10) - Number.parseInt(b, 10) || (a < b ? -1 : 1);
}

function portKey(wanted: string): string {
  const [port = "", protocol = "tcp"] = wanted.split("/", 2);
  try {
    parseInteger(port, "ParseUint", 16, 10);
  } catch (error) {
    throw new StatusError(`Error: invalid port (${port}): ${(error as Error).message}`, 1);
  }
  return `${port}/${protocol === "" ? "tcp" : protocol}`;
}
