/** The Dockerfile instructions of `import -c` and `commit -c`, applied to an image's config. */
import { invalidParameter } from "../lib/errors.ts";
import { parseSignal } from "../lib/signals.ts";
import { parseGoDuration } from "../lib/units.ts";
import type { HealthConfig, ImageConfig } from "../wire/engine-api.ts";
import { expand } from "./expand.ts";

const exactlyOne = new Set(["USER", "WORKDIR", "STOPSIGNAL"]);
const SHELL = ["/bin/sh", "-c"];

/** Applies instructions in their order to a copy of `config`. Throws invalidParameter in Docker's words. */
export function applyChanges(config: ImageConfig, changes: string[]): ImageConfig {
  const changed = structuredClone(config);
  const lines = changes.flatMap((change) => change.replace(/\\\r?\n/g, "").split("\n")).map((line) => line.trim());
  const given = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (changes.length > 0 && given.length === 0) throw invalidParameter("file with no instructions");
  for (const line of given) apply(changed, line);
  return changed;
}

function apply(config: ImageConfig, line: string): void {
  const [, word = "", rest = ""] = /^(\S+)\s*(.*)$/s.exec(line) ?? [];
  const name = word.toUpperCase();
  const instruction = instructions[name];
  if (!instruction) throw invalidParameter(`${word} is not a valid change command`);
  if (rest === "" && name !== "CMD" && name !== "ENTRYPOINT")
    throw invalidParameter(`${name} requires ${exactlyOne.has(name) ? "exactly" : "at least"} one argument`);
  instruction(config, rest.trim());
}

const instructions: Record<string, (config: ImageConfig, text: string) => void> = {
  CMD: (config, text) => {
    config.Cmd = commandOf(text);
  },
  ENTRYPOINT: (config, text) => {
    config.Entrypoint = commandOf(text);
  },
  ENV: (config, text) => {
    const variables = variablesOf(config);
    const env = new Map((config.Env ?? []).map((line) => [line.split("=", 1)[0]!, line]));
    for (const [key, value] of pairsOf(text, "ENV", variables)) env.set(key, `${key}=${value}`);
    config.Env = [...env.values()];
  },
  LABEL: (config, text) => {
    const labels = pairsOf(text, "LABEL", variablesOf(config));
    config.Labels = { ...config.Labels, ...Object.fromEntries(labels) };
  },
  EXPOSE: (config, text) => {
    const variables = variablesOf(config);
    const words = wordsOf(text).flatMap((word) => expand(word, variables).split(/\s+/).filter(Boolean));
    const ports = words.flatMap(portsOf).map((port) => [port, {}]);
    config.ExposedPorts = { ...config.ExposedPorts, ...Object.fromEntries(ports) };
  },
  VOLUME: (config, text) => {
    const variables = variablesOf(config);
    if (/^\[\s*\]$/.test(text)) throw invalidParameter("VOLUME requires at least one argument");
    const paths = (listOf(text) ?? wordsOf(text)).map((path) => expand(path, variables).trim());
    if (paths.includes("")) throw invalidParameter("VOLUME specified can not be an empty string");
    config.Volumes = { ...config.Volumes, ...Object.fromEntries(paths.map((path) => [path, {}])) };
  },
  USER: (config, text) => {
    config.User = expand(text, variablesOf(config));
  },
  WORKDIR: (config, text) => {
    const path = expand(text, variablesOf(config));
    const base = path.startsWith("/") ? [] : (config.WorkingDir ?? "").split("/");
    const parts: string[] = [];
    for (const part of [...base, ...path.split("/")])
      if (part === "..") parts.pop();
      else if (part !== "" && part !== ".") parts.push(part);
    config.WorkingDir = `/${parts.join("/")}`;
  },
  STOPSIGNAL: (config, text) => {
    const signal = expand(text, variablesOf(config));
    parseSignal(signal);
    config.StopSignal = signal;
  },
  ONBUILD: (config, text) => {
    const trigger = text.split(/\s/, 1)[0]!.toUpperCase();
    if (trigger === "ONBUILD") throw invalidParameter("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (trigger === "FROM" || trigger === "MAINTAINER")
      throw invalidParameter(`${trigger} isn't allowed as an ONBUILD trigger`);
    config.OnBuild = [...(config.OnBuild ?? []), text];
  },
  HEALTHCHECK: (config, text) => {
    config.Healthcheck = healthcheckOf(text);
  },
};

function variablesOf({ Env }: ImageConfig): Map<string, string> {
  return new Map((Env ?? []).map((line) => [line.split("=", 1)[0]!, line.slice(line.indexOf("=") + 1)]));
}

/** A JSON list of strings, or undefined where the text is none and so is for a shell. */
function listOf(text: string): string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(list)) return undefined;
  if (list.every((item) => typeof item === "string")) return list;
  throw invalidParameter("when using JSON array syntax, arrays must be comprised of strings only");
}

function commandOf(text: string): string[] {
  if (text === "") return [];
  return listOf(text) ?? [...SHELL, text];
}

/** `a=b c="d e"`, or the old form `a b`. */
function pairsOf(text: string, name: string, variables: Map<string, string>): [key: string, value: string][] {
  if (!/^[^\s=]+=/.test(text) && !/^["'][^"']*["']=/.test(text)) {
    const [, key = "", value = ""] = /^(\S+)\s+(.*)$/s.exec(text) ?? [];
    if (key === "") throw invalidParameter(`${name} must have two arguments`);
    return [[key, expand(value, variables)]];
  }
  return wordsOf(text).map((word) => {
    const [, key = "", value = ""] = /^([^=]+)=(.*)$/s.exec(word) ?? [];
    if (key === "") throw invalidParameter(`Syntax error - can't find = in "${word}". Must be of the form: name=value`);
    return [expand(key, variables), expand(value, variables)];
  });
}

/** Splits at blanks outside quotes; quotes and escapes stay. */
function wordsOf(text: string): string[] {
  return text.match(/(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*'|["'\\])+/gs) ?? [];
}

/** `80`, `80/udp`, `8000-8010/tcp` as the keys of ExposedPorts. Of a published one what lies in the container counts. */
function portsOf(word: string): string[] {
  const [range = "", protocol = "tcp"] = word.slice(word.lastIndexOf(":") + 1).split("/", 2);
  if (!/^(tcp|udp|sctp)$/i.test(protocol)) throw invalidParameter(`Invalid proto: ${protocol}`);
  const [, first = "", last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range) ?? [];
  const [low, high] = [Number(first), Number(last)];
  if (first === "" || low > high || high > 65535) throw invalidParameter(`Invalid containerPort: ${range}`);
  return Array.from({ length: high - low + 1 }, (_, index) => `${low + index}/${protocol.toLowerCase()}`);
}

function healthcheckOf(text: string): HealthConfig {
  const check: HealthConfig = {};
  let rest = text;
  for (let flag = takeFlag(rest); flag; flag = takeFlag(rest)) {
    const { name, value } = flag;
    rest = flag.rest;
    if (name === "interval") check.Interval = durationOf(name, value);
    else if (name === "timeout") check.Timeout = durationOf(name, value);
    else if (name === "start-period") check.StartPeriod = durationOf(name, value);
    else if (name === "start-interval") check.StartInterval = durationOf(name, value);
    else if (name === "retries" && /^\d+$/.test(value)) check.Retries = Number(value);
    else if (name === "retries" && /^-\d+$/.test(value))
      throw invalidParameter(`--retries cannot be negative (${value})`);
    else throw invalidParameter(`unknown flag: ${name}`);
  }
  const [, kind = "", command = ""] = /^(\S+)\s*(.*)$/s.exec(rest) ?? [];
  switch (kind.toUpperCase()) {
    case "NONE":
      if (command !== "") throw invalidParameter("HEALTHCHECK NONE takes no arguments");
      return { Test: ["NONE"] };
    case "CMD": {
      if (command === "") throw invalidParameter("Missing command after HEALTHCHECK CMD");
      const list = listOf(command);
      return { ...check, Test: list ? ["CMD", ...list] : ["CMD-SHELL", command] };
    }
    default:
      throw invalidParameter(`Unknown type "${kind.toUpperCase()}" in HEALTHCHECK (try CMD)`);
  }
}

function takeFlag(text: string): { name: string; value: string; rest: string } | undefined {
  const [, name, value, rest] = /^--([a-z-]+)=(\S+)\s*(.*)$/s.exec(text) ?? [];
  return name === undefined ? undefined : { name, value: value!, rest: rest! };
}

function durationOf(name: string, value: string): number {
  const ns = parseGoDuration(value);
  if (ns !== 0 && ns < 1_000_000) throw invalidParameter(`Interval "${name}" cannot be less than 1ms`);
  return ns;
}
