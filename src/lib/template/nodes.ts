import { goQuote } from "./quote.ts";

/** The syntax tree. `at` is what Go calls the position; errors show it as line and byte. */
export type Operand =
  | { kind: "field"; at: number; names: string[] }
  | { kind: "variable"; at: number; names: string[] }
  | { kind: "chain"; at: number; operand: Operand; names: string[] }
  | { kind: "identifier"; at: number; name: string }
  | { kind: "dot"; at: number }
  | { kind: "nil"; at: number }
  | { kind: "bool"; at: number; value: boolean }
  | { kind: "number"; at: number; text: string; value: unknown; isInt: boolean }
  | { kind: "string"; at: number; quoted: string; value: string }
  | Pipe;

export interface Command {
  kind: "command";
  at: number;
  args: Operand[];
}

export interface Pipe {
  kind: "pipe";
  at: number;
  declarations: string[];
  isAssignment: boolean;
  commands: Command[];
}

export type Statement =
  | { kind: "text"; text: string }
  | { kind: "action"; at: number; pipe: Pipe }
  | { kind: "if" | "with" | "range"; at: number; pipe: Pipe; body: Statement[]; otherwise: Statement[] | undefined }
  | { kind: "template"; at: number; name: string; pipe: Pipe | undefined }
  | { kind: "break" | "continue"; at: number };

/** A node as its template's author would write it; errors quote it. */
export function nodeText(node: Operand | Command | (Statement & { kind: "template" })): string {
  switch (node.kind) {
    case "field":
      return node.names.map((name) => `.${name}`).join("");
    case "variable":
      return node.names.join(".");
    case "chain": {
      const inner = nodeText(node.operand);
      const names = node.names.map((name) => `.${name}`).join("");
      return node.operand.kind === "pipe" ? `(${inner})${names}` : inner + names;
    }
    case "identifier":
      return node.name;
    case "dot":
      return ".";
    case "nil":
      return "nil";
    case "bool":
      return String(node.value);
    case "number":
      return node.text;
    case "string":
      return node.quoted;
    case "command":
      return node.args.map((arg) => (arg.kind === "pipe" ? `(${nodeText(arg)})` : nodeText(arg))).join(" ");
    case "template":
      return `{{template ${goQuote(node.name)}${node.pipe === undefined ? "" : ` ${nodeText(node.pipe)}`}}}`;
    case "pipe": {
      const declared = node.declarations.join(", ");
      const prefix = declared === "" ? "" : `${declared} ${node.isAssignment ? "=" : ":="} `;
      return prefix + node.commands.map(nodeText).join(" | ");
    }
  }
}
