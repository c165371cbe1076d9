/**
 * Aligns tab-separated text in columns the way Go's tabwriter does with Docker's settings (cells at least 10 wide,
 * 3 blanks of padding): a column is a block of consecutive lines that all have that cell, closed by a tab; what stands
 * behind a line's last tab belongs to no column.
 */
export function alignColumns(text: string, { minWidth = 10, padding = 3 } = {}): string {
  const trailingNewline = text.endsWith("\n");
  const rows = (trailingNewline ? text.slice(0, -1) : text).split("\n").map((line) => line.split("\t"));
  const widths: number[][] = rows.map(() => []);
  measure(rows, widths, 0, rows.length, 0, minWidth, padding);
  const lines = rows.map((cells, row) =>
    cells
      .map((cell, column) => {
        const width = widths[row]?.[column];
        return column === cells.length - 1 || width === undefined
          ? cell
          : cell + " ".repeat(Math.max(0, width - runeCount(cell)));
      })
      .join(""),
  );
  return lines.join("\n") + (trailingNewline ? "\n" : "");
}

/** Walks block by block so that a column's width depends on its own block alone. */
function measure(
  rows: string[][],
  widths: number[][],
  from: number,
  to: number,
  column: number,
  minWidth: number,
  padding: number,
): void {
  let row = from;
  while (row < to) {
    if (column >= (rows[row]?.length ?? 0) - 1) {
      row++;
      continue;
    }
    const start = row;
    let width = minWidth;
    while (row < to && column < (rows[row]?.length ?? 0) - 1) {
      width = Math.max(width, runeCount(rows[row]?.[column] ?? "") + padding);
      row++;
    }
    for (let at = start; at < row; at++) widths[at]![column] = width;
    measure(rows, widths, start, row, column + 1, minWidth, padding);
  }
}

function runeCount(text: string): number {
  // As many bytes as UTF-16 units: all of it is ASCII.
  if (Buffer.byteLength(text) === text.length) return text.length;
  let count = 0;
  for (const _ of text) count++;
  return count;
}
