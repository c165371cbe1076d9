/** Shows what the engine reports while it pulls, loads or builds: JSON messages, some of them about a layer each. */
import { humanSize } from "../lib/units.ts";

/** One message of such a stream. */
export interface ProgressMessage {
  id?: string;
  status?: string;
  stream?: string;
  from?: string;
  time?: number;
  timeNano?: number;
  progress?: string;
  progressDetail?: { current?: number; total?: number; start?: number; units?: string; hidecounts?: boolean };
  error?: string;
  errorDetail?: { code?: number; message?: string };
  aux?: unknown;
}

/** Where progress is shown. */
export interface ProgressOutput {
  write(text: string): void;
  /** On a terminal each layer has one line, which is drawn anew; elsewhere bars are left out. */
  isTerminal: boolean;
  /** Width of the terminal, asked for anew with each bar. */
  columns(): number | undefined;
}

const DEFAULT_COLUMNS = 200;
/** Narrower terminals get numbers only. */
const BAR_MIN_COLUMNS = 110;
const TIME_LEFT_MIN_COLUMNS = 50;
const BAR_CELLS = 50;

/**
 * Shows the messages until they end. `onAux` is handed what is meant for programs. Throws an Error with the engine's
 * sentence when a message reports a failure.
 */
export async function showProgress(
  messages: AsyncIterable<object>,
  output: ProgressOutput,
  onAux?: (aux: unknown) => void,
): Promise<void> {
  const lines = new Map<string, number>();
  for await (const item of messages) {
    const message: ProgressMessage = item;
    if (message.aux !== undefined && message.aux !== null) {
      onAux?.(message.aux);
      continue;
    }
    const id = message.id ?? "";
    let below = 0;
    if (id !== "" && (message.progressDetail !== undefined || message.progress)) {
      let line = lines.get(id);
      if (line === undefined) {
        line = lines.size;
        lines.set(id, line);
        if (output.isTerminal) output.write("\n");
      }
      below = lines.size - line;
      if (output.isTerminal && below > 0) output.write(`\x1b[${below}A`);
    } else {
      // A line of its own scrolls the layers away; lines are counted anew from here.
      lines.clear();
    }
    show(message, output);
    if (output.isTerminal && id !== "" && below > 0) output.write(`\x1b[${below}B`);
  }
}

/** The error a message reports, if it does. */
export function errorOf(message: ProgressMessage): Error | undefined {
  if (message.errorDetail === undefined && message.error === undefined) return undefined;
  if (message.errorDetail?.code === 401) return new Error("authentication is required");
  return new Error(message.errorDetail?.message ?? message.error ?? "");
}

function show(message: ProgressMessage, output: ProgressOutput): void {
  const error = errorOf(message);
  if (error !== undefined) throw error;
  const { status = "", stream = "", progressDetail } = message;
  let end = "";
  let text = "";
  if (output.isTerminal && stream === "" && progressDetail !== undefined) {
    end = "\r";
    text = "\x1b[2K\r";
  } else if (progressDetail !== undefined && progressText(progressDetail, output.columns()) !== "") return;
  if (message.timeNano) text += `${timeText(message.timeNano / 1e6)} `;
  else if (message.time) text += `${timeText(message.time * 1000)} `;
  if (message.id) text += `${message.id}: `;
  if (message.from) text += `(from ${message.from}) `;
  if (progressDetail !== undefined && output.isTerminal) {
    text += `${status} ${progressText(progressDetail, output.columns())}${end}`;
  } else if (message.progress) text += `${status} ${message.progress}${end}`;
  else text += stream === "" ? `${status}${end}\n` : stream + end;
  output.write(text);
}

function timeText(unixMs: number): string {
  return new Date(unixMs).toISOString().replace(/\.(\d{3})Z$/, ".$1000000Z");
}

type Detail = NonNullable<ProgressMessage["progressDetail"]>;

function progressText(detail: Detail, columns = DEFAULT_COLUMNS): string {
  const { current = 0, total = 0, units = "" } = detail;
  if (current <= 0 && total <= 0) return "";
  const amount = (value: number) => (units === "" ? humanSize(value) : String(value));
  const suffix = units === "" ? "" : ` ${units}`;
  if (total <= 0) return amount(current).padStart(8) + suffix;
  const done = Math.min(BAR_CELLS, Math.trunc(Math.trunc((current / total) * 100) / 2));
  const bar = columns > BAR_MIN_COLUMNS ? `[${"=".repeat(done)}>${" ".repeat(BAR_CELLS - done)}] ` : "";
  let numbers = "";
  if (detail.hidecounts !== true) {
    numbers = amount(current).padStart(8) + (current > total ? suffix : `/${amount(total)}${suffix}`);
  }
  return bar + numbers + timeLeft(detail, done, columns);
}

function timeLeft({ current = 0, total = 0, start = 0 }: Detail, done: number, columns: number): string {
  if (current <= 0 || start <= 0 || done >= BAR_CELLS || columns <= TIME_LEFT_MIN_COLUMNS) return "";
  const seconds = Math.trunc(((Date.now() / 1000 - start) / current) * (total - current));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  if (hours > 0) return ` ${hours}h${minutes}m${seconds % 60}s`;
  return minutes > 0 ? ` ${minutes}m${seconds % 60}s` : ` ${seconds}s`;
}
