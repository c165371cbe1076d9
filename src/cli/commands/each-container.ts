/** Commands that do one thing to each container they are given. */
import type { CliContext } from "../command.ts";

/**
 * Does `work` to each of the containers, some at a time, and prints the name of each that went well, in the order
 * given; what went wrong is told at the end. Resolves to the exit code: 1 where anything went wrong that is not
 * forgiven.
 */
export async function forEachContainer(
  ctx: CliContext,
  names: string[],
  work: (name: string) => Promise<void>,
  forgiven: (error: Error) => boolean = () => false,
): Promise<number> {
  const failures: Error[] = [];
  await inOrder(names, work, (name, error) => {
    if (error === undefined) ctx.out(`${name}\n`);
    else failures.push(error);
  });
  ctx.err(failures.map((error) => `${error.message}\n`).join(""));
  return failures.every(forgiven) ? 0 : 1;
}

const concurrency = 50;

/** Runs `work` for all items, up to 50 at a time, and reports each result in the items' order as soon as it can. */
export async function inOrder<T>(
  items: T[],
  work: (item: T) => Promise<void>,
  report: (item: T, error: Error | undefined) => void,
): Promise<void> {
  const running = new Map<number, Promise<Error | undefined>>();
  let next = 0;
  const begin = () => {
    const item = items[next]!;
    running.set(
      next++,
      work(item).then(
        () => undefined,
        (error: Error) => error,
      ),
    );
  };
  for (const [index, item] of items.entries()) {
    while (next < items.length && next < index + concurrency) begin();
    report(item, await running.get(index)!);
    running.delete(index);
  }
}
