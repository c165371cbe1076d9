/** Asking the person at the terminal. */
import { readSync } from "node:fs";
import { withoutEcho } from "../kernel/terminal.ts";
import type { CliContext } from "./command.ts";

/** Prints a question and reads one line, without its end; what there is where stdin ends before. */
export async function readLine(ctx: CliContext, question: string): Promise<string> {
  ctx.out(question);
  // Not the stream of stdin: that cannot be left after a line and come back to.
  const buffer = Buffer.alloc(4096);
  let line = "";
  while (!line.includes("\n")) {
    try {
      const length = readSync(0, buffer);
      if (length === 0) break;
      line += buffer.toString("utf8", 0, length);
    } catch (thrown) {
      if ((thrown as { code?: string }).code !== "EAGAIN") throw thrown;
      await Bun.sleep(20);
    }
  }
  return line.split("\n")[0]!.replace(/\r$/, "");
}

/** As readLine(), and nothing of it is shown. */
export async function readSecret(ctx: CliContext, question: string): Promise<string> {
  const restore = withoutEcho(0);
  const interrupted = () => {
    restore();
    process.exit(130);
  };
  process.once("SIGINT", interrupted);
  try {
    return await readLine(ctx, question);
  } finally {
    process.off("SIGINT", interrupted);
    restore();
    ctx.out("\n");
  }
}
