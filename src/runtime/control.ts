/** conmon's control fifo: terminal sizes, and when to open the log anew (conmon's ctrl.c). */
import { closeSync, writeSync } from "node:fs";
import { O_NONBLOCK, O_WRONLY, openPath } from "../kernel/files.ts";
import { SyscallError } from "../kernel/libc.ts";

const resizeMessage = 1;
const reopenMessage = 2;

/** Sets the terminal's size. False where conmon is gone. */
export function sendResize(ctlPath: string, rows: number, columns: number): boolean {
  return send(ctlPath, `${resizeMessage} ${rows} ${columns}\n`);
}

/** Makes conmon create a new log file in the old one's place. False where conmon is gone. */
export function sendReopenLog(ctlPath: string): boolean {
  return send(ctlPath, `${reopenMessage} 0 0\n`);
}

function send(ctlPath: string, line: string): boolean {
  let fd: number;
  try {
    // A fifo that nobody reads refuses a non-blocking writer instead of holding up the event loop.
    fd = openPath(ctlPath, O_WRONLY | O_NONBLOCK);
  } catch (error) {
    if (error instanceof SyscallError && (error.code === "ENXIO" || error.code === "ENOENT")) return false;
    throw error;
  }
  try {
    writeSync(fd, line);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EPIPE" || code === "EAGAIN") return false;
    throw error;
  } finally {
    closeSync(fd);
  }
}
