/** Who may do what: the interface that access control implements, and the registry that is open to all. */
import type { Action, RegistryRequest } from "../request.ts";

export interface AccessControl {
  /**
   * Finds out who asks (`request.user`) and lets the request pass, or throws UNAUTHORIZED with a challenge, or DENIED.
   * Called once for each request, before anything else is done with it.
   */
  authorize(request: RegistryRequest): Promise<void>;
  /** Whether whoever asks may do that with another repository than the request's own. */
  may(request: RegistryRequest, repository: string, action: Action): Promise<boolean>;
  /** Which repositories whoever asks may know of. */
  visible(request: RegistryRequest): Promise<(repository: string) => boolean>;
}

export const openAccess: AccessControl = {
  authorize: async () => undefined,
  may: async () => true,
  visible: async () => () => true,
};
