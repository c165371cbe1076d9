/** wait: until a container has ended, or is gone. */
import type { ContainerWaitResponse } from "../wire/engine-api.ts";
import type { Container, Exit } from "./container.ts";

export type WaitCondition = "not-running" | "next-exit" | "removed";

/**
 * POST /containers/{id}/wait. Resolves with the exit code when the condition is met; waits as long as it takes,
 * or until `signal` aborts.
 */
export async function waitForContainer(
  container: Container,
  condition: WaitCondition,
  signal: AbortSignal,
): Promise<ContainerWaitResponse> {
  const { state } = container.record;
  if (condition === "not-running" && !container.running && state.status !== "restarting")
    return response({ exitCode: state.exitCode, error: state.error });
  const exit = await (condition === "removed" ? container.removal(signal) : container.nextExit(signal));
  return response(exit ?? { exitCode: state.exitCode });
}

function response({ exitCode, error }: Exit): ContainerWaitResponse {
  return error ? { StatusCode: exitCode, Error: { Message: error } } : { StatusCode: exitCode };
}
