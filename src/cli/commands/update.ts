import { containerPath } from "../../client/paths.ts";
import type { FlagSpec, ParsedFlags } from "../../lib/flags.ts";
import type { ContainerUpdateResponse, Mount } from "../../wire/engine-api.ts";
import type { Command } from "../command.ts";
import { parseMount } from "../mount-option.ts";
import { parseBytes, parseCpus, parseRestartPolicy, parseSwapBytes } from "../option-values.ts";
import { parsePorts } from "../port-option.ts";
import { forEachContainer } from "./each-container.ts";

const updateFlags: FlagSpec[] = [
  {
    name: "blkio-weight",
    type: "uint16",
    shownDefault: "0",
    usage: "Block IO (relative weight), between 10 and 1000, or 0 to disable",
  },
  { name: "cpu-period", type: "int", usage: "Limit CPU CFS (Completely Fair Scheduler) period" },
  { name: "cpu-quota", type: "int", usage: "Limit CPU CFS (Completely Fair Scheduler) quota" },
  { name: "cpu-rt-period", type: "int", usage: "Limit the CPU real-time period in microseconds" },
  { name: "cpu-rt-runtime", type: "int", usage: "Limit the CPU real-time runtime in microseconds" },
  { name: "cpu-shares", short: "c", type: "int", usage: "CPU shares (relative weight)" },
  { name: "cpus", type: "string", value: "decimal", usage: "Number of CPUs", parse: parseCpus },
  { name: "cpuset-cpus", type: "string", usage: "CPUs in which to allow execution (0-3, 0,1)" },
  { name: "cpuset-mems", type: "string", usage: "MEMs in which to allow execution (0-3, 0,1)" },
  {
    name: "kernel-memory",
    type: "string",
    value: "bytes",
    hidden: true,
    usage: "Kernel memory limit (deprecated)",
    parse: parseBytes,
  },
  { name: "memory", short: "m", type: "string", value: "bytes", usage: "Memory limit", parse: parseBytes },
  { name: "memory-reservation", type: "string", value: "bytes", usage: "Memory soft limit", parse: parseBytes },
  {
    name: "memory-swap",
    type: "string",
    value: "bytes",
    usage: "Swap limit equal to memory plus swap: -1 to enable unlimited swap",
    parse: parseSwapBytes,
  },
  { name: "mount-add", type: "list", own: true, usage: "Mount something, as by --mount of run", parse: parseMount },
  { name: "mount-rm", type: "list", own: true, usage: "Unmount what is mounted at a path" },
  { name: "pids-limit", type: "int", usage: "Tune container pids limit (set -1 for unlimited)" },
  { name: "publish-add", type: "list", own: true, usage: "Publish a container's port(s) to the host" },
  { name: "publish-rm", type: "list", own: true, usage: "Take back published ports: [HOST:]CONTAINER[/PROTOCOL]" },
  { name: "restart", type: "string", usage: "Restart policy to apply when a container exits" },
];

export const command: Command = {
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Update configuration of one or more containers",
  aliases: ["container update", "update"],
  args: { min: 1 },
  flags: updateFlags,
  async run(ctx, flags) {
    if (!updateFlags.some(({ name }) => flags.has(name))) {
      throw new Error("you must provide one or more flags when using this command");
    }
    const json = updateBody(flags);
    const warnings: string[] = [];
    const code = await forEachContainer(ctx, flags.args, async (name) => {
      const answer = await ctx.engine.json<ContainerUpdateResponse>("POST", containerPath(name, "/update"), { json });
      warnings.push(...(answer.Warnings ?? []));
    });
    if (warnings.length > 0) ctx.err(`${warnings.join("\n")}\n`);
    return code;
  },
};

/** Zero and the empty string mean: as it is. */
function updateBody(flags: ParsedFlags) {
  const publishRemove = flags.list("publish-rm");
  const { bindings } = parsePorts(flags.list("publish-add"), []);
  return {
    ...(Object.keys(bindings).length > 0 ? { PublishAdd: bindings } : {}),
    ...(publishRemove.length > 0 ? { PublishRemove: publishRemove } : {}),
    ...(flags.has("mount-add") ? { MountAdd: flags.values<Mount>("mount-add") } : {}),
    ...(flags.has("mount-rm") ? { MountRemove: flags.list("mount-rm") } : {}),
    BlkioWeight: flags.int("blkio-weight"),
    CpuShares: flags.int("cpu-shares"),
    CpuPeriod: flags.int("cpu-period"),
    CpuQuota: flags.int("cpu-quota"),
    CpuRealtimePeriod: flags.int("cpu-rt-period"),
    CpuRealtimeRuntime: flags.int("cpu-rt-runtime"),
    CpusetCpus: flags.string("cpuset-cpus"),
    CpusetMems: flags.string("cpuset-mems"),
    Memory: flags.value<number>("memory") ?? 0,
    MemoryReservation: flags.value<number>("memory-reservation") ?? 0,
    MemorySwap: flags.value<number>("memory-swap") ?? 0,
    NanoCpus: flags.value<number>("cpus") ?? 0,
    ...(flags.has("pids-limit") ? { PidsLimit: flags.int("pids-limit") } : {}),
    RestartPolicy: parseRestartPolicy(flags.string("restart")),
  };
}
