/** What the database keeps of a volume, and which names a volume may have. */
import { invalidParameter } from "../lib/errors.ts";

export interface VolumeRecord {
  name: string;
  driver: string;
  labels: Record<string, string>;
  /** null where none were given: the API tells that from {}. */
  options: Record<string, string> | null;
  /** RFC 3339, whole seconds, UTC. */
  createdAt: string;
  /** Set when its removal has begun: who finds it finishes that. */
  isRemoved?: true;
}

/** Label of a volume nobody gave a name. */
export const anonymousLabel = "com.docker.volume.anonymous";

const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const nameLimitBytes = 255;

/** Checks a volume's name, which is also its directory's. Throws invalidParameter with Docker's sentences. */
export function checkVolumeName(name: string): void {
  if (name.length === 1)
    throw invalidParameter("volume name is too short, names should be at least two alphanumeric characters");
  if (!namePattern.test(name))
    throw invalidParameter(
      `${JSON.stringify(name)} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    );
  if (name.length > nameLimitBytes)
    throw invalidParameter(`volume name is too long: more than ${nameLimitBytes} characters`);
}
