/** The messages that pull, load and import stream to a client. */
import { humanSize } from "../lib/units.ts";

/** One JSON object of the stream (the API's CreateImageInfo and its kin). */
export interface ProgressMessage {
  status?: string;
  id?: string;
  progressDetail?: { current?: number; total?: number };
  /** The bar as text, for clients that cannot draw one. */
  progress?: string;
  stream?: string;
  aux?: unknown;
  error?: string;
  errorDetail?: { message: string };
}

/** Takes messages on their way to a client. */
export type Report = (message: ProgressMessage) => void;

const BAR_WIDTH = 50;
/** Between two messages about the same bar. */
const INTERVAL_MS = 100;

/** A word about one layer, without a bar. */
export function layerStatus(id: string, status: string): ProgressMessage {
  return { status, progressDetail: {}, id };
}

/** How far one layer is, in bytes. `total` is 0 where nobody knows. */
export function layerProgress(id: string, status: string, current: number, total: number): ProgressMessage {
  return { status, progressDetail: total > 0 ? { current, total } : { current }, progress: bar(current, total), id };
}

function bar(current: number, total: number): string {
  if (total <= 0) return humanSize(current).padStart(8);
  const filled = Math.min(Math.floor((current / total) * BAR_WIDTH), BAR_WIDTH);
  // Docker's full bar keeps its arrow, and so is one longer.
  const head = `${"=".repeat(filled)}>`.padEnd(BAR_WIDTH);
  return `[${head}] ${humanSize(current).padStart(8)}/${humanSize(total)}`;
}

/** A function that says whether a bar's next message is due: ten times a second, and when it is full. */
export function throttle(): (current: number, total: number) => boolean {
  let last = 0;
  return (current, total) => {
    const now = performance.now();
    if (current !== total && now - last < INTERVAL_MS) return false;
    last = now;
    return true;
  };
}
