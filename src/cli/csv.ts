/** One row of comma-separated values, as `--mount`, `--network` and `--gpus` take it. */

/** Splits a row; a field in double quotes may hold commas. Throws with the sentences of Go's encoding/csv. */
export function parseCsvRow(row: string): string[] {
  if (row === "") throw new Error("EOF");
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    if (row[at] === '"') {
      let field = "";
      for (at++; ; at++) {
        const quote = row.indexOf('"', at);
        if (quote < 0) throw parseError(row.length, 'extraneous or missing " in quoted-field');
        field += row.slice(at, quote);
        at = quote + 1;
        if (row[at] !== '"') break;
        field += '"';
      }
      if (at < row.length && row[at] !== ",") throw parseError(at, 'extraneous or missing " in quoted-field');
      fields.push(field);
    } else {
      const comma = row.indexOf(",", at);
      const end = comma < 0 ? row.length : comma;
      const field = row.slice(at, end);
      const quote = field.indexOf('"');
      if (quote >= 0) throw parseError(at + quote + 1, 'bare " in non-quoted-field');
      fields.push(field);
      at = end;
    }
    if (at >= row.length) return fields;
    at++;
  }
}

function parseError(column: number, reason: string): Error {
  return new Error(`parse error on line 1, column ${column}: ${reason}`);
}
