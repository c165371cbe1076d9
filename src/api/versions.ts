/** The versions of the Engine API that are served, told apart by their minor number: all are 1.something. */
import { invalidParameter } from "../lib/errors.ts";

export const newestMinor = 56;
export const oldestMinor = 24;
export const newestVersion = `1.${newestMinor}`;
export const oldestVersion = `1.${oldestMinor}`;

/**
 * The minor number of a version as the path has it (`1.43`). Throws invalidParameter, in the sentences that clients
 * know, for one that is not served.
 */
export function minorOf(version: string): number {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < 1 || (major === 1 && minor < oldestMinor))
    throw invalidParameter(
      `client version ${version} is too old. Minimum supported API version is ${oldestVersion}, please upgrade your client to a newer version`,
    );
  if (major > 1 || minor > newestMinor)
    throw invalidParameter(`client version ${version} is too new. Maximum supported API version is ${newestVersion}`);
  return minor;
}
