/** Numbers for Prometheus (text exposition format 0.0.4). */
import type { CollectionResult } from "./collect-garbage.ts";
import type { Registry } from "./registry.ts";

/** Upper bounds of the histogram of durations, in seconds. */
const bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];

interface Durations {
  counts: number[];
  sum: number;
}

export class Metrics {
  readonly #requests = new Map<string, number>();
  readonly #durations = new Map<string, Durations>();
  #authFailures = 0;
  #collections = 0;
  #collectedBytes = 0;
  #collectedBlobs = 0;

  /** Counts an answer. `route` is what the request was for, not its path. */
  observe(method: string, route: string, status: number, seconds: number): void {
    const labels = `method="${/^[A-Z]{1,10}$/.test(method) ? method : "other"}",route="${route}"`;
    const key = `${labels},status="${status}"`;
    this.#requests.set(key, (this.#requests.get(key) ?? 0) + 1);
    if (status === 401) this.#authFailures++;
    let durations = this.#durations.get(labels);
    if (!durations) this.#durations.set(labels, (durations = { counts: bounds.map(() => 0).concat(0), sum: 0 }));
    durations.sum += seconds;
    const index = bounds.findIndex((bound) => seconds <= bound);
    durations.counts[index < 0 ? bounds.length : index]!++;
  }

  collected({ blobs, bytes }: CollectionResult): void {
    this.#collections++;
    this.#collectedBlobs += blobs;
    this.#collectedBytes += bytes;
  }

  /** The whole page. */
  text(registry: Registry): string {
    const lines: string[] = [];
    const family = (name: string, type: string, help: string, samples: [labels: string, value: number][]) => {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
      for (const [labels, value] of samples) lines.push(`${name}${labels === "" ? "" : `{${labels}}`} ${value}`);
    };
    const { repositories, manifests, tags, blobs, bytes } = registry.metadata.counts();
    family("brig_registry_requests_total", "counter", "Requests answered.", [...this.#requests]);
    lines.push("# HELP brig_registry_request_seconds Time until the answer began.");
    lines.push("# TYPE brig_registry_request_seconds histogram");
    for (const [labels, { counts, sum }] of this.#durations) {
      let seen = 0;
      for (const [index, count] of counts.entries()) {
        seen += count;
        lines.push(`brig_registry_request_seconds_bucket{${labels},le="${bounds[index] ?? "+Inf"}"} ${seen}`);
      }
      lines.push(`brig_registry_request_seconds_sum{${labels}} ${sum}`);
      lines.push(`brig_registry_request_seconds_count{${labels}} ${seen}`);
    }
    const one = (name: string, type: string, help: string, value: number) => family(name, type, help, [["", value]]);
    one("brig_registry_unauthorized_total", "counter", "Requests answered with 401.", this.#authFailures);
    one("brig_registry_uploads_running", "gauge", "Requests that bring bytes just now.", registry.uploads.running);
    one("brig_registry_repositories", "gauge", "Repositories.", repositories);
    one("brig_registry_manifests", "gauge", "Manifests.", manifests);
    one("brig_registry_tags", "gauge", "Tags.", tags);
    one("brig_registry_blobs", "gauge", "Blobs that a repository has.", blobs);
    one("brig_registry_blob_bytes", "gauge", "Bytes of those blobs, each counted once.", bytes);
    one("brig_registry_collections_total", "counter", "Garbage collections.", this.#collections);
    one("brig_registry_collected_blobs_total", "counter", "Blobs they removed.", this.#collectedBlobs);
    one("brig_registry_collected_bytes_total", "counter", "Bytes of those blobs.", this.#collectedBytes);
    return `${lines.join("\n")}\n`;
  }
}
