/** Keeps the daemon small while it has nothing to do. */
import { releaseExecutablePages } from "../kernel/resident.ts";

const intervalMs = 5000;
/** Less work than this within an interval counts as none. */
const quietMs = 50;

/**
 * Whenever the daemon has worked and is quiet again, drops what can be had again: compiled code, garbage, pages of the
 * executable. That is 30 to 40 MB of 80; the first request afterwards takes a few milliseconds longer. Returns how to
 * stop.
 */
export function keepSmall(): () => void {
  let usedMs = 0;
  let isSmall = false;
  const look = () => {
    const { user, system } = process.cpuUsage();
    const workedMs = (user + system) / 1000 - usedMs;
    usedMs += workedMs;
    if (workedMs > quietMs) isSmall = false;
    else if (!isSmall) {
      isSmall = true;
      Bun.shrink();
      releaseExecutablePages();
    }
  };
  const timer = setInterval(look, intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}
