/** Linux's signals by name and number (signal(7); the numbers of x86 and arm, which Brig runs on). */
import { invalidParameter } from "./errors.ts";

const names = (
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU " +
  "XFSZ VTALRM PROF WINCH IO PWR SYS"
).split(" ");

const realtimeMin = 34;
const realtimeMax = 64;
const aliases: Record<string, number> = { IOT: 6, CLD: 17, POLL: 29, RTMIN: realtimeMin, RTMAX: realtimeMax };

const numbers = new Map<string, number>([
  ...names.map((name, index) => [name, index + 1] as const),
  ...Object.entries(aliases),
]);
for (let offset = 1; offset <= 15; offset++) numbers.set(`RTMIN+${offset}`, realtimeMin + offset);
for (let offset = 1; offset <= 14; offset++) numbers.set(`RTMAX-${offset}`, realtimeMax - offset);

/**
 * The number of a signal written as SIGTERM, TERM (any case) or 15.
 * Throws invalidParameter for what is none. 0 is none: a container is sent a signal or it is not.
 */
export function parseSignal(text: string): number {
  if (/^[0-9]{1,9}$/.test(text)) {
    const number = Number(text);
    if (number === 0) throw invalidParameter(`invalid signal: ${text}`);
    return number;
  }
  const number = numbers.get(text.toUpperCase().replace(/^SIG/, ""));
  if (number === undefined) throw invalidParameter(`invalid signal: ${text}`);
  return number;
}

/** True where a process can be sent this signal: 32 and 33 are kept by libc for itself. */
export function isSignal(number: number): boolean {
  return (number >= 1 && number <= names.length) || (number >= realtimeMin && number <= realtimeMax);
}

/** SIGTERM for 15, SIGRTMIN+3 for 37; the bare number for what the kernel does not know. */
export function signalName(number: number): string {
  const name = names[number - 1];
  if (name !== undefined) return `SIG${name}`;
  if (number === realtimeMin) return "SIGRTMIN";
  if (number > realtimeMin && number <= realtimeMin + 15) return `SIGRTMIN+${number - realtimeMin}`;
  if (number === realtimeMax) return "SIGRTMAX";
  if (number > realtimeMin + 15 && number < realtimeMax) return `SIGRTMAX-${realtimeMax - number}`;
  return String(number);
}
