/** Checks a container's log driver and its options. Sentences are Docker's. */
import { invalidParameter, messageOf } from "../lib/errors.ts";
import { parseMemoryBytes } from "../lib/units.ts";
import type { HostConfig } from "../wire/engine-api.ts";

const fileOptions = ["max-file", "max-size", "compress"];
const attributeOptions = ["labels", "labels-regex", "env", "env-regex", "tag"];
/** Options that every driver takes: how a slow log holds up the container. */
const deliveryOptions = ["mode", "max-buffer-size"];

const drivers: Record<string, { options: string[]; unknown: (option: string) => string } | undefined> = {
  // With more than Docker's has: who names no driver may mean json-file's options.
  local: {
    options: [...fileOptions, ...attributeOptions],
    unknown: (option) => `unknown log opt '${option}' for log driver local`,
  },
  "json-file": {
    options: [...fileOptions, ...attributeOptions],
    unknown: (option) => `unknown log opt '${option}' for json-file log driver`,
  },
  none: undefined,
};

/** Log drivers that containers can have. */
export const logDrivers = Object.keys(drivers);

function checkSize(name: string, text: string): void {
  try {
    parseMemoryBytes(text);
  } catch (thrown) {
    throw invalidParameter(`error parsing option ${name}: ${messageOf(thrown)}`);
  }
}

/** Checks HostConfig.LogConfig; an empty type is the daemon's default. Throws invalidParameter. */
export function checkLogConfig({ Type, Config }: NonNullable<HostConfig["LogConfig"]>, defaultDriver: string): void {
  const type: string = Type || defaultDriver;
  const options = Config ?? {};
  if (!Object.hasOwn(drivers, type))
    throw invalidParameter(`error looking up logging plugin ${type}: plugin "${type}" not found`);
  const mode = options.mode ?? "";
  if (!["", "blocking", "non-blocking"].includes(mode))
    throw invalidParameter(`logger: logging mode not supported: ${mode}`);
  const buffer = options["max-buffer-size"];
  if (buffer !== undefined) {
    if (mode !== "non-blocking")
      throw invalidParameter("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
    checkSize("max-buffer-size", buffer);
  }
  const driver = drivers[type];
  if (driver === undefined) return;
  for (const name of Object.keys(options))
    if (!driver.options.includes(name) && !deliveryOptions.includes(name)) throw invalidParameter(driver.unknown(name));
  if (options["max-size"] !== undefined && options["max-size"] !== "-1") checkSize("max-size", options["max-size"]);
  const maxFile = options["max-file"];
  if (maxFile !== undefined && !/^[1-9][0-9]{0,5}$/.test(maxFile))
    throw invalidParameter(`max-file must be a number of 1 or more: ${maxFile}`);
  if (options.compress !== undefined && !/^(1|t|true|0|f|false)$/i.test(options.compress))
    throw invalidParameter(`compress must be true or false: ${options.compress}`);
}
