/** The options of a container's place on a network (`--network name=…,driver-opt=…`), checked: Docker's names. */
import { invalidParameter } from "../lib/errors.ts";
import type { EndpointSettings } from "../wire/engine-api.ts";
import { isLinkName } from "./options.ts";

const interfaceNameOption = "com.docker.network.endpoint.ifname";
const sysctlsOption = "com.docker.network.endpoint.sysctls";

/** The name the client wants for the interface in the container; undefined for any. Throws where it cannot be one. */
export function wantedInterfaceName({ DriverOpts }: EndpointSettings): string | undefined {
  const name = DriverOpts?.[interfaceNameOption];
  if (name === undefined || name === "") return undefined;
  if (!isLinkName(name) || name === "lo")
    throw invalidParameter(
      `invalid value for ${interfaceNameOption}: ${JSON.stringify(name)} cannot be an interface's name`,
    );
  return name;
}

/**
 * The sysctls of the interface, paths below /proc/sys and values. In names IFNAME stands for it: `net.ipv4.conf.IFNAME.log_martians=1`.
 * Throws on anything else: in the container's namespace all of net.* could be reached.
 */
export function endpointSysctls(
  { DriverOpts }: EndpointSettings,
  interfaceName: string,
): [path: string, value: string][] {
  const text = DriverOpts?.[sysctlsOption] ?? "";
  if (text === "") return [];
  return text.split(",").map((pair) => {
    const equals = pair.indexOf("=");
    const name = pair.slice(0, Math.max(equals, 0)).trim();
    if (!/^net\.(ipv4|ipv6|mpls)\.(conf|neigh)\.(IFNAME|ifname)\.[a-z0-9_]+$/.test(name))
      throw invalidParameter(
        `unrecognised network interface sysctl '${pair}'; the expected format is net.X.Y.IFNAME.Z=V`,
      );
    // Only then: the interface's name may have dots of its own.
    const path = name.replaceAll(".", "/").replace(/IFNAME|ifname/, interfaceName);
    return [path, pair.slice(equals + 1).trim()];
  });
}
