/** A hint of one or several lines, as Docker's client prints it; its colours are for terminals. */
export function note(isTerminal: boolean, lines: string[]): string {
  const head = isTerminal ? "\x1b[1m\x1b[106m\x1b[30mi\x1b[0m\x1b[0m \x1b[96mInfo → \x1b[0m\x1b[0m" : " Info -> ";
  const shown = lines.map((line) =>
    isTerminal ? `\x1b[3m${line.replace("--platform", "\x1b[1m--platform\x1b[0m")}\x1b[0m` : line,
  );
  return `\n${head}${shown.join(`\n${" ".repeat(9)}`)}\n`;
}
