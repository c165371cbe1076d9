/** top: the container's processes, as the host's ps shows them. */
import { conflict, invalidParameter, systemError } from "../lib/errors.ts";
import type { ContainerTopResponse } from "../wire/engine-api.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import type { Rooms } from "./rooms.ts";

/** GET /containers/{id}/top. `psArgs` are ps's own (`-ef` by default). Throws where the container does not run or ps refuses them. */
export async function topOfContainer(
  rooms: Rooms,
  container: Container,
  psArgs: string,
): Promise<ContainerTopResponse> {
  const { state, hostConfig } = container.record;
  if (state.status === "restarting")
    throw conflict(`Container ${container.id} is restarting, wait until the container is running`);
  if (!container.running) throw conflict(`container ${container.id} is not running`);
  const args = psArgs.trim() === "" ? ["-ef"] : psArgs.trim().split(/\s+/);
  // ps reports on everything it is told of: a pid list of the caller's would override ours.
  for (const arg of args) if (/\bpid=\S/.test(arg)) throw invalidParameter(`specifying "${arg}" is not allowed`);
  const pids = new Set(rooms.runtimeFor(hostConfig.Runtime ?? "").pids(container.id));
  const ps = Bun.spawn(["ps", ...args], { stdout: "pipe", stderr: "pipe" });
  const [output, errors, code] = await Promise.all([ps.stdout.text(), ps.stderr.text(), ps.exited]);
  // What follows the first line is ps's own help.
  if (code !== 0) throw systemError(`ps: ${errors.trim().split("\n", 1)[0]}`);
  const processes = selectProcesses(output, pids);
  announce(rooms, container, "top");
  return processes;
}

/** The rows of ps's `output` whose PID column is in `pids`. */
export function selectProcesses(output: string, pids: Set<number>): ContainerTopResponse {
  const [header = "", ...lines] = output.split("\n");
  const titles = header.trim().split(/\s+/);
  const pidColumn = titles.indexOf("PID");
  if (pidColumn < 0) throw systemError("Couldn't find PID field in ps output");
  const processes: string[][] = [];
  for (const line of lines) {
    const fields = line.trim().split(/\s+/);
    if (!pids.has(Number(fields[pidColumn]))) continue;
    // The last column may hold blanks: all that follows belongs to it.
    processes.push([...fields.slice(0, titles.length - 1), fields.slice(titles.length - 1).join(" ")]);
  }
  return { Titles: titles, Processes: processes };
}
