/** What the image says of its containers, under what the request says. */
import { invalidParameter } from "../lib/errors.ts";
import type { ContainerConfig, ImageConfig } from "../wire/engine-api.ts";

/**
 * The configuration a container gets: the request's, completed by the image's, with Docker's rules.
 * Throws `no command specified` where neither names one.
 */
export function mergeConfig(request: ContainerConfig, image: ImageConfig): ContainerConfig {
  const merged: ContainerConfig = { ...request };
  merged.User ||= image.User ?? "";
  merged.WorkingDir ||= image.WorkingDir ?? "";
  merged.StopSignal ||= image.StopSignal;
  merged.ExposedPorts = mergeMaps(image.ExposedPorts, request.ExposedPorts);
  merged.Volumes = mergeMaps(image.Volumes, request.Volumes);
  merged.Labels = { ...image.Labels, ...request.Labels };
  merged.Env = mergeEnv(request.Env ?? [], image.Env ?? []);
  merged.Healthcheck = mergeHealthcheck(request, image);
  merged.Shell ??= image.Shell ?? undefined;
  merged.OnBuild ??= image.OnBuild ?? null;
  if ((request.Entrypoint ?? []).length === 0) {
    if ((request.Cmd ?? []).length === 0) merged.Cmd = image.Cmd ?? undefined;
    merged.Entrypoint ??= image.Entrypoint ?? undefined;
  }
  // `--entrypoint ""` arrives as one empty string: it takes the image's entrypoint away.
  if (merged.Entrypoint?.length === 1 && merged.Entrypoint[0] === "") merged.Entrypoint = undefined;
  if ((merged.Entrypoint ?? []).length === 0 && (merged.Cmd ?? []).length === 0)
    throw invalidParameter("no command specified");
  return merged;
}

function mergeMaps<V>(lower: Record<string, V> | null | undefined, upper: Record<string, V> | null | undefined) {
  const merged = { ...lower, ...upper };
  return Object.keys(merged).length === 0 ? undefined : merged;
}

/** The request's variables first, bare names that take one away among them, then those of the image it does not name. */
function mergeEnv(request: string[], image: string[]): string[] {
  const nameOf = (variable: string) => variable.split("=", 1)[0];
  const set = new Set(request.map(nameOf));
  return [...request, ...image.filter((variable) => !set.has(nameOf(variable)))];
}

function mergeHealthcheck(request: ContainerConfig, image: ImageConfig): ContainerConfig["Healthcheck"] {
  const { Healthcheck: own } = request;
  const { Healthcheck: inherited } = image;
  if (!own || !inherited) return own ?? inherited ?? undefined;
  return {
    ...own,
    Test: own.Test?.length ? own.Test : inherited.Test,
    Interval: own.Interval || inherited.Interval,
    Timeout: own.Timeout || inherited.Timeout,
    StartPeriod: own.StartPeriod || inherited.StartPeriod,
    StartInterval: own.StartInterval || inherited.StartInterval,
    Retries: own.Retries || inherited.Retries,
  };
}
