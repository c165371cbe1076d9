/** What a container uses, as `stats` shows it. */
import { Row } from "../../lib/template/values.ts";
import { bytesSize, humanSize } from "../../lib/units.ts";
import { truncateId } from "../format.ts";

/** Headings of the columns. */
export const statsHeadings: Readonly<Record<string, string>> = {
  Container: "CONTAINER",
  Name: "NAME",
  ID: "CONTAINER ID",
  CPUPerc: "CPU %",
  MemUsage: "MEM USAGE / LIMIT",
  MemPerc: "MEM %",
  NetIO: "NET I/O",
  BlockIO: "BLOCK I/O",
  PIDs: "PIDS",
};

interface CpuStats {
  cpu_usage?: { total_usage?: number; percpu_usage?: number[] | null };
  system_cpu_usage?: number;
  online_cpus?: number;
}

/** What is used here of the engine's answer. */
export interface Sample {
  id?: string;
  name?: string;
  cpu_stats?: CpuStats;
  precpu_stats?: CpuStats;
  memory_stats?: { usage?: number; limit?: number; stats?: Record<string, number> };
  pids_stats?: { current?: number };
  networks?: Record<string, { rx_bytes?: number; tx_bytes?: number }>;
  blkio_stats?: { io_service_bytes_recursive?: { op: string; value: number }[] | null };
}

const UNKNOWN = "--";

/** The row; without a sample all its figures are unknown. `name` is how the container was asked for. */
export function statsRow(name: string, sample: Sample | undefined, truncate: boolean): Row {
  const known = (text: (sample: Sample) => string) => () => (sample === undefined ? UNKNOWN : text(sample));
  return new Row("*container.statsContext", {
    Container: () => name,
    Name: known(({ name: own = "" }) => (own.length > 1 ? own.slice(1) : UNKNOWN)),
    ID: known(({ id = "" }) => (truncate ? truncateId(id) : id)),
    CPUPerc: known((one) => `${cpuPercent(one).toFixed(2)}%`),
    MemUsage: known((one) => `${bytesSize(memoryUsed(one))} / ${bytesSize(one.memory_stats?.limit ?? 0)}`),
    MemPerc: known((one) => {
      const limit = one.memory_stats?.limit ?? 0;
      return `${(limit === 0 ? 0 : (memoryUsed(one) / limit) * 100).toFixed(2)}%`;
    }),
    NetIO: known((one) => {
      const links = Object.values(one.networks ?? {});
      const total = (key: "rx_bytes" | "tx_bytes") => links.reduce((sum, link) => sum + (link[key] ?? 0), 0);
      return `${humanSize(total("rx_bytes"), 3)} / ${humanSize(total("tx_bytes"), 3)}`;
    }),
    BlockIO: known((one) => `${humanSize(blockBytes(one, "r"), 3)} / ${humanSize(blockBytes(one, "w"), 3)}`),
    PIDs: known((one) => String(one.pids_stats?.current ?? 0)),
  });
}

function cpuPercent({ cpu_stats: now, precpu_stats: before }: Sample): number {
  const used = (now?.cpu_usage?.total_usage ?? 0) - (before?.cpu_usage?.total_usage ?? 0);
  const system = (now?.system_cpu_usage ?? 0) - (before?.system_cpu_usage ?? 0);
  const cpus = now?.online_cpus || (now?.cpu_usage?.percpu_usage?.length ?? 0);
  return used > 0 && system > 0 ? (used / system) * cpus * 100 : 0;
}

/** Memory without the pages of files that the kernel can drop at once. */
function memoryUsed({ memory_stats: memory }: Sample): number {
  const usage = memory?.usage ?? 0;
  const inactive = memory?.stats?.total_inactive_file ?? memory?.stats?.inactive_file ?? 0;
  return inactive < usage ? usage - inactive : usage;
}

function blockBytes(sample: Sample, firstLetter: string): number {
  const entries = sample.blkio_stats?.io_service_bytes_recursive ?? [];
  return entries
    .filter((entry) => entry.op.toLowerCase().startsWith(firstLetter))
    .reduce((sum, entry) => sum + entry.value, 0);
}
