/**
 * Images moved by Brig, dockerd and podman in turn: the same registry, the same image, one machine. Prints medians and
 * ratios. The image is made by the first run and kept in BENCH_CACHE (/var/tmp/brig-bench).
 *
 *   BENCH_ONLY=pull,save          only the parts whose names contain one of these words
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildBusyboxTar } from "../tests/support/busybox-image.ts";
import { atEnd, image, quietly, startBrig, startDocker } from "./engines.ts";
import { each, inTurn, peakMb, residentMb, time } from "./measure.ts";
import { type RegistryServer, registryWithBigImage, startBrigRegistry, startDockerRegistry } from "./registries.ts";
import { measureParts, type Part, type Row, runBenchmark } from "./table.ts";

const deadlineMs = 900_000;
const rounds = 3;
const clientCount = 64;

/** An engine, with its command line and what it wants to hear of registries without TLS. */
interface Mover {
  client: string[];
  plainHttp: string[];
  pid?: number;
}

await runBenchmark(deadlineMs, async () => {
  const cache = process.env.BENCH_CACHE ?? "/var/tmp/brig-bench";
  mkdirSync(cache, { recursive: true });
  const scratch = mkdtempSync(join(cache, "run-"));
  atEnd(() => rmSync(scratch, { recursive: true, force: true }));
  const brig = await startBrig(scratch, "host");
  const docker = await startDocker(scratch, "host");
  const roots = ["--root", `${scratch}/podman`, "--runroot", `${scratch}/podman-run`, "--storage-driver", "overlay"];
  const podman: Mover = { client: ["podman", ...roots], plainHttp: ["--tls-verify=false"] };
  // Its store holds mounts of its own.
  atEnd(() => quietly([...podman.client, "system", "reset", "-f"]));
  const engines: Mover[] = [
    { ...brig, plainHttp: [] },
    { ...docker, plainHttp: [] },
  ];
  const registry = await registryWithBigImage(join(cache, "image"), brig);
  const archive = await buildBusyboxTar(join(scratch, "image.tar"));
  await each(engines, ({ client }) => time([...client, "import", archive, image]));
  return measureParts(partsFor(engines, podman, registry, scratch), ["dockerd", "podman"]);
});

function partsFor(engines: Mover[], podman: Mover, registry: RegistryServer, scratch: string): Part[] {
  const all = [...engines, podman];
  const big = `${registry.host}/big:latest`;
  const row = (name: string, wanted: string, values: number[], unit: Row["unit"] = "ms"): Row[] => [
    { name, unit, wanted, values },
  ];
  const pull = ({ client, plainHttp }: Mover) => time([...client, "pull", "-q", ...plainHttp, big]);
  const drop = ({ client }: Mover, ...names: string[]) => {
    quietly([...client, "rmi", "-f", ...names]);
    quietly(["sync"]);
  };
  const cold = (mover: Mover, work: () => Promise<number>) => {
    drop(mover, big);
    return work();
  };
  const have = (movers: Mover[]) => each(movers, pull);

  return [
    {
      name: "pull",
      async measure() {
        const coldly = await inTurn(all, rounds, (mover) => cold(mover, () => pull(mover)));
        const again = await inTurn(all, 10, pull);
        const floor = await inTurn([0], rounds, () => unpackByTools(registry, scratch));
        return [
          ...row("pull, cold", "≥ 2.5×, podman ≥ 2×", coldly),
          ...row("the same work by gzip, sha256sum and tar, from files, two at once", "", [floor[0]!]),
          ...row("pull of a tag whose layers are all here", "≤ 25", again),
        ];
      },
    },
    {
      name: "memory",
      async measure() {
        const peaks = await each(engines, (engine) => cold(engine, () => peakMb(engine.pid!, () => pull(engine))));
        return row("daemon's resident memory while pulling it", "≤ 200", peaks, "MB");
      },
    },
    {
      name: "save and load",
      async measure() {
        await have(engines);
        const file = join(scratch, "saved.tar");
        const saved = await inTurn(engines, rounds, ({ client }) => time([...client, "save", "-o", file, big]));
        const loaded = await inTurn(engines, rounds, async (engine) => {
          quietly([...engine.client, "save", "-o", file, big]);
          return cold(engine, () => time([...engine.client, "load", "-q", "-i", file]));
        });
        rmSync(file);
        return [...row("save to a file", "≥ 4×", saved), ...row("load from it", "≥ 2×", loaded)];
      },
    },
    {
      name: "push",
      async measure() {
        await have(engines);
        const pushed = await inTurn(engines, rounds, async ({ client }) => {
          const directory = join(scratch, "push");
          const target = await startDockerRegistry(directory);
          const name = `${target.host}/big:latest`;
          quietly([...client, "tag", big, name]);
          const took = await time([...client, "push", "-q", name]);
          quietly([...client, "rmi", name]);
          target.stop();
          rmSync(directory, { recursive: true });
          return took;
        });
        return row("push to a local registry, cold", "≥ 3×", pushed);
      },
    },
    {
      name: "commit",
      async measure() {
        const script = "for i in $(seq 100); do head -c 1048576 /dev/urandom >/file$i; done";
        await each(engines, ({ client }) =>
          time([...client, "run", "--network", "none", "--name", "bench-commit", image, "/bin/sh", "-c", script]),
        );
        const committed = await inTurn(engines, rounds, async (engine) => {
          drop(engine, "bench-committed");
          return time([...engine.client, "commit", "bench-commit", "bench-committed"]);
        });
        await each(engines, ({ client }) => time([...client, "rm", "bench-commit"]));
        for (const engine of engines) drop(engine, "bench-committed");
        return row("commit of a container with 100 MB of changes", "≥ 2×", committed);
      },
    },
    {
      name: "registry",
      async measure() {
        const ours = await startBrigRegistry(join(scratch, "registry"));
        const copy = ["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false"];
        quietly([...copy, `docker://${big}`, `docker://${ours.host}/big:latest`]);
        const blob = await layerPath(ours.host);
        const servers = [ours, registry];
        const rates = await inTurn(servers, rounds, ({ host }) => manyClients(host, blob));
        const memory: number[] = [];
        for (const { pid, host } of servers) {
          const before = residentMb(pid);
          memory.push((await peakMb(pid, () => manyClients(host, blob))) - before);
        }
        const name = `registry: ${clientCount} clients pull the same layer`;
        return [
          ...row(`${name} (others: docker-registry)`, "the wire", rates, "MB/s"),
          ...row(`${name}: memory that it takes`, "flat", memory, "MB"),
        ];
      },
    },
  ];
}

/** Milliseconds for what a pull cannot do without, by the programs that everybody has: no network, no database. */
async function unpackByTools({ host }: RegistryServer, scratch: string): Promise<number> {
  const target = join(scratch, "floor");
  const blobs = join(scratch, "blobs");
  mkdirSync(blobs, { recursive: true });
  for (const { digest } of await layersOf(host)) {
    const path = join(blobs, digest.slice(7));
    if (!(await Bun.file(path).exists())) await Bun.write(path, await fetch(`http://${host}/v2/big/blobs/${digest}`));
  }
  mkdirSync(target);
  const script = `ls ${blobs} | xargs -P 2 -I {} bash -c 'mkdir ${target}/{} && sha256sum ${blobs}/{} >/dev/null && \
gzip -dc ${blobs}/{} | tee >(sha256sum >/dev/null) | tar -C ${target}/{} --xattrs -xf -'`;
  const took = await time(["bash", "-c", script]);
  rmSync(target, { recursive: true });
  quietly(["sync"]);
  return took;
}

async function layersOf(host: string): Promise<{ digest: string; size: number }[]> {
  const accept = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";
  const answer = await fetch(`http://${host}/v2/big/manifests/latest`, { headers: { accept } });
  return ((await answer.json()) as { layers: { digest: string; size: number }[] }).layers;
}

/** A layer of middling size. */
async function layerPath(host: string): Promise<string> {
  const layers = (await layersOf(host)).sort((one, other) => one.size - other.size);
  return `/v2/big/blobs/${layers[Math.floor(layers.length / 2)]!.digest}`;
}

async function manyClients(host: string, path: string): Promise<number> {
  const script = join(import.meta.dir, "load-clients.ts");
  const child = Bun.spawn([process.execPath, script, host, path, String(clientCount)], { stderr: "inherit" });
  return Number(await child.stdout.text()) / 1e6;
}
