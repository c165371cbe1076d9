/** The table that a benchmark prints, and the frame of its parts. */
import { cpus } from "node:os";
import { cleanUp } from "./engines.ts";

/** A line of the table; `values` are Brig's first, then the others'. */
export interface Row {
  name: string;
  unit: "ms" | "MB" | "MB/s" | "/s";
  /** What is to be reached, in words. */
  wanted: string;
  values: number[];
}

/** What yields rows; where it fails, the others go on. */
export interface Part {
  name: string;
  measure: () => Promise<Row[]>;
}

/** Measures the parts whose names BENCH_ONLY has a word of, or all. Prints what comes. Returns whether all went well. */
export async function measureParts(parts: Part[], others: string[]): Promise<boolean> {
  const only = process.env.BENCH_ONLY?.split(",");
  const rows: Row[] = [];
  let failed = false;
  for (const { name, measure } of parts) {
    if (only !== undefined && !only.some((word) => name.includes(word))) continue;
    try {
      const found = await measure();
      rows.push(...found);
      for (const row of found) console.error(`  ${row.name}: ${row.values.map(shown).join(" / ")} ${row.unit}`);
    } catch (error) {
      failed = true;
      console.error(`  ${name} failed: ${(error as Error).message}`);
    }
  }
  print(rows, others);
  return !failed;
}

const shown = (value: number) => value.toFixed(value < 1000 ? 1 : 0);

function print(rows: Row[], others: string[]): void {
  console.log(`\n${cpus().length} × ${cpus()[0]?.model ?? "?"}; medians\n`);
  console.log(`| work | brig |${others.map((name) => ` ${name} | ratio |`).join("")} to reach |`);
  console.log(`|---|---:|${others.map(() => "---:|---:|").join("")}---|`);
  for (const { name, unit, values, wanted } of rows) {
    const [ours = 0] = values;
    const columns = others.map((_, index) => {
      const theirs = values[index + 1];
      if (theirs === undefined) return " | |";
      const ratio = unit.endsWith("/s") ? ours / theirs : theirs / ours;
      return ` ${shown(theirs)} ${unit} | ${Number.isFinite(ratio) ? `${ratio.toFixed(1)}×` : ""} |`;
    });
    console.log(`| ${name} | ${shown(ours)} ${unit} |${columns.join("")} ${wanted} |`);
  }
}

/** Runs a benchmark: cleans up however it ends, and gives up after `deadlineMs`. Does not return. */
export async function runBenchmark(deadlineMs: number, main: () => Promise<boolean>): Promise<never> {
  const giveUp = (why: string, exitCode: number) => {
    console.error(`${why}: cleaning up`);
    cleanUp();
    process.exit(exitCode);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => giveUp(signal, signal === "SIGINT" ? 130 : 143));
  setTimeout(() => giveUp(`not done within ${deadlineMs / 1000} s`, 1), deadlineMs).unref();
  let succeeded = false;
  try {
    succeeded = await main();
  } catch (error) {
    console.error(error);
  } finally {
    cleanUp();
  }
  process.exit(succeeded ? 0 : 1);
}
