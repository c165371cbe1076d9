/** When to try again what a registry, or the way to it, did not let through. */
import { ConnectionError, RegistryError } from "./registry-errors.ts";

const RETRY_DELAY_MS = 500;
/** A server that asks for more patience gets its error passed on. */
const PATIENCE_MS = 60_000;

/** Milliseconds to wait before another attempt, after so many failures; undefined where none would help. */
export function retryDelay(thrown: unknown, failures: number): number | undefined {
  if (thrown instanceof ConnectionError) return RETRY_DELAY_MS * failures;
  if (!(thrown instanceof RegistryError) || (thrown.status < 500 && thrown.status !== 429)) return undefined;
  const waitMs = thrown.retryAfterMs ?? 2 * RETRY_DELAY_MS * failures;
  return waitMs <= PATIENCE_MS ? waitMs : undefined;
}

/** Waits, and throws the signal's reason as soon as it aborts. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<void>();
  const onAbort = () => aborted.resolve();
  signal.addEventListener("abort", onAbort, { once: true });
  await Promise.race([Bun.sleep(ms), aborted.promise]);
  signal.removeEventListener("abort", onAbort);
  signal.throwIfAborted();
}
