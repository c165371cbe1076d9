import { type CliContext, StatusError } from "../command.ts";

/** Does something to each, prints the names of those it was done to, and all errors at the end, one a line. */
export async function forEachName(
  ctx: CliContext,
  names: readonly string[],
  work: (name: string) => Promise<unknown>,
): Promise<number> {
  const errors: string[] = [];
  for (const name of names) {
    try {
      await work(name);
      ctx.out(`${name}\n`);
    } catch (error) {
      errors.push((error as Error).message);
    }
  }
  if (errors.length > 0) throw new StatusError(errors.join("\n"), 1);
  return 0;
}
