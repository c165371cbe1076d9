/** Starts a daemon in the background where none answers at the default socket. */
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname, join } from "node:path";
import { connectSocket } from "./transport.ts";

const patienceMs = 10_000;
/** How long to go on trying after our daemon ended: another client's may be the one that is just coming up. */
const graceMs = 1_000;
const pollMs = 5;

/**
 * Starts `brig daemon` detached and waits until it answers at `socketPath`; its output goes to `brig.log` beside the
 * socket. False where this user may not, or BRIG_AUTOSTART=0 forbids it. Throws where it does not come up.
 */
export async function startDaemon(socketPath: string, say: (line: string) => void): Promise<boolean> {
  if (process.env.BRIG_AUTOSTART === "0" || process.getuid?.() !== 0) return false;
  const logPath = join(dirname(socketPath), "brig.log");
  mkdirSync(dirname(logPath), { recursive: true, mode: 0o755 });
  say(`No engine is running; starting brig daemon in the background (log: ${logPath})`);
  const { spawn } = await import("node:child_process");
  const log = openSync(logPath, "a", 0o640);
  const compiled = Bun.main.startsWith("/$bunfs/");
  const child = spawn(process.execPath, compiled ? ["daemon"] : [Bun.main, "daemon"], {
    cwd: "/",
    detached: true,
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  let endedAtMs: number | undefined;
  child.on("exit", () => {
    endedAtMs = Date.now();
  });
  child.on("error", () => {
    endedAtMs = Date.now();
  });
  child.unref();
  const startMs = Date.now();
  while (Date.now() - startMs < patienceMs) {
    if (await answers(socketPath)) return true;
    if (endedAtMs !== undefined && Date.now() - endedAtMs > graceMs) {
      throw new Error(`brig daemon ended before it answered; its log is ${logPath}`);
    }
    await Bun.sleep(pollMs);
  }
  throw new Error(`brig daemon did not answer within ${patienceMs / 1000} seconds; its log is ${logPath}`);
}

async function answers(socketPath: string): Promise<boolean> {
  try {
    (await connectSocket({ unix: socketPath })).close();
    return true;
  } catch {
    return false;
  }
}
