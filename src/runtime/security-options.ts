/** HostConfig.SecurityOpt, the texts of --security-opt. */
import { systemError } from "../lib/errors.ts";

export interface SecurityOptions {
  noNewPrivileges?: boolean;
  /** `builtin`, `unconfined`, or a profile as JSON. */
  seccomp?: string;
  /** `unconfined`, or the name of a loaded profile. */
  appArmor?: string;
  /** SELinux labels as given; nothing is done with them where SELinux is off. */
  labels: string[];
  systemPathsUnconfined: boolean;
}

const switches = new Set(["no-new-privileges", "disable"]);

/**
 * Reads security options. `=` divides key and value, or `:` as long ago.
 * Throws with Docker's sentence for what is none.
 */
export function parseSecurityOptions(options: readonly string[]): SecurityOptions {
  const parsed: SecurityOptions = { labels: [], systemPathsUnconfined: false };
  for (const option of options) {
    const separator = option.includes("=") ? "=" : ":";
    const at = option.indexOf(separator);
    if (at < 0) {
      if (!switches.has(option)) throw systemError(`invalid --security-opt 1: "${option}"`);
      if (option === "no-new-privileges") parsed.noNewPrivileges = true;
      continue;
    }
    const key = option.slice(0, at);
    const value = option.slice(at + 1);
    const invalid = () => systemError(`invalid --security-opt 2: "${option}"`);
    if (key === "label") parsed.labels.push(value);
    else if (key === "apparmor") parsed.appArmor = value;
    else if (key === "seccomp") parsed.seccomp = value;
    else if (key === "systempaths" && value === "unconfined") parsed.systemPathsUnconfined = true;
    else if (key === "no-new-privileges") {
      if (!/^(1|t|true|0|f|false)$/i.test(value)) throw invalid();
      parsed.noNewPrivileges = /^(1|t|true)$/i.test(value);
    } else throw invalid();
  }
  return parsed;
}
