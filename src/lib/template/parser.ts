import { TemplateError } from "./error.ts";
import { lex, type Token } from "./lexer.ts";
import type { Command, Operand, Pipe, Statement } from "./nodes.ts";
import { parseNumber } from "./number.ts";
import { goQuote, goUnquote } from "./quote.ts";

/** Actions and parentheses inside each other. Deeper is hostile, and would exhaust our stack. */
const MAX_NESTING = 500;

interface Ending {
  kind: "end" | "else";
  text: string;
}

/** All templates of a text by name; the text's own has the given name. Throws TemplateError. */
export function parse(text: string, name: string, hasFunction: (name: string) => boolean): Map<string, Statement[]> {
  return new Parser(text, name, hasFunction).run();
}

class Parser {
  readonly #name: string;
  readonly #tokens: Token[];
  readonly #hasFunction: (name: string) => boolean;
  readonly #templates = new Map<string, Statement[]>();
  #next = 0;
  #variables = ["$"];
  #rangeDepth = 0;
  #nesting = 0;
  #actionLine = 0;

  constructor(text: string, name: string, hasFunction: (name: string) => boolean) {
    this.#name = name;
    this.#tokens = lex(text);
    this.#hasFunction = hasFunction;
  }

  run(): Map<string, Statement[]> {
    const main: Statement[] = [];
    while (this.#peek().kind !== "eof") {
      if (this.#peek().kind === "leftDelim") {
        const mark = this.#next;
        this.#take();
        const token = this.#takeNonSpace();
        if (token.kind === "keyword" && token.value === "define") {
          this.#definition();
          continue;
        }
        this.#next = mark;
      }
      const node = this.#textOrAction();
      if (isEnding(node)) this.#fail(`unexpected ${node.text}`);
      main.push(node);
    }
    this.#add(this.#name, main);
    return this.#templates;
  }

  #peek(): Token {
    return this.#tokens[Math.min(this.#next, this.#tokens.length - 1)]!;
  }

  #take(): Token {
    const token = this.#peek();
    this.#next++;
    return token;
  }

  #takeNonSpace(): Token {
    while (this.#peek().kind === "space") this.#next++;
    return this.#take();
  }

  #peekNonSpace(): Token {
    while (this.#peek().kind === "space") this.#next++;
    return this.#peek();
  }

  #fail(message: string): never {
    const line = this.#tokens[Math.min(Math.max(this.#next - 1, 0), this.#tokens.length - 1)]?.line ?? 1;
    throw new TemplateError(`template: ${this.#name}:${line}: ${message}`);
  }

  #unexpected(token: Token, context: string): never {
    if (token.kind === "error") {
      let extra = "";
      if (this.#actionLine !== 0 && this.#actionLine !== token.line) {
        extra = ` in action started at ${this.#name}:${this.#actionLine}`;
        if (token.value.endsWith(" action")) extra = extra.slice(" in action".length);
      }
      this.#fail(token.value + extra);
    }
    this.#fail(`unexpected ${tokenText(token)} in ${context}`);
  }

  #nested<T>(work: () => T): T {
    if (++this.#nesting > MAX_NESTING) this.#fail(`more than ${MAX_NESTING} levels of nesting`);
    const result = work();
    this.#nesting--;
    return result;
  }

  #add(name: string, body: Statement[]): void {
    const known = this.#templates.get(name);
    if (known === undefined || isEmpty(known)) this.#templates.set(name, body);
    else if (!isEmpty(body)) {
      if (name === this.#name) this.#templates.set(name, body);
      else this.#fail(`template: multiple definition of template ${goQuote(name)}`);
    }
  }

  #definition(): void {
    const context = "define clause";
    const name = this.#templateName(this.#takeNonSpace(), context);
    this.#expectRightDelim(context);
    this.#add(name, this.#separateBody(context));
  }

  /** The body of a define or block: a template of its own, with no variables from outside. */
  #separateBody(context: string): Statement[] {
    const [variables, rangeDepth] = [this.#variables, this.#rangeDepth];
    this.#variables = ["$"];
    this.#rangeDepth = 0;
    const { body, ending } = this.#nested(() => this.#itemList());
    if (ending.kind !== "end") this.#fail(`unexpected ${ending.text} in ${context}`);
    [this.#variables, this.#rangeDepth] = [variables, rangeDepth];
    return body;
  }

  #itemList(): { body: Statement[]; ending: Ending } {
    const body: Statement[] = [];
    while (this.#peekNonSpace().kind !== "eof") {
      const node = this.#textOrAction();
      if (isEnding(node)) return { body, ending: node };
      body.push(node);
    }
    this.#take();
    this.#fail("unexpected EOF");
  }

  #textOrAction(): Statement | Ending {
    const token = this.#takeNonSpace();
    if (token.kind === "text") return { kind: "text", text: token.value };
    if (token.kind === "leftDelim") {
      this.#actionLine = token.line;
      const node = this.#action();
      this.#actionLine = 0;
      return node;
    }
    this.#unexpected(token, "input");
  }

  #action(): Statement | Ending {
    const token = this.#peekNonSpace();
    if (token.kind === "keyword") {
      this.#take();
      switch (token.value) {
        case "block":
          return this.#block();
        case "break":
        case "continue":
          return this.#breakOrContinue(token, token.value);
        case "else":
          return this.#else();
        case "end":
          this.#expectRightDelim("end");
          return { kind: "end", text: "{{end}}" };
        case "if":
        case "range":
        case "with":
          return this.#control(token, token.value);
        case "template":
          return this.#template();
      }
      this.#next--;
    }
    const at = this.#peek().at;
    const mark = this.#variables.length;
    const pipe = this.#pipeline("command", "rightDelim");
    // An assignment pushes its variable a second time, which does no harm; a declaration lives on in its scope.
    if (pipe.isAssignment) this.#variables.length = mark;
    return { kind: "action", at, pipe };
  }

  #breakOrContinue(token: Token, kind: "break" | "continue"): Statement {
    const next = this.#takeNonSpace();
    if (next.kind !== "rightDelim") this.#unexpected(next, `{{${kind}}}`);
    if (this.#rangeDepth === 0) this.#fail(`{{${kind}}} outside {{range}}`);
    return { kind, at: token.at };
  }

  #else(): Ending {
    const next = this.#peekNonSpace();
    if (!(next.kind === "keyword" && (next.value === "if" || next.value === "with"))) this.#expectRightDelim("else");
    return { kind: "else", text: "{{else}}" };
  }

  #control(token: Token, kind: "if" | "range" | "with"): Statement {
    return this.#nested(() => {
      const mark = this.#variables.length;
      const pipe = this.#pipeline(kind, "rightDelim");
      if (kind === "range") this.#rangeDepth++;
      const { body, ending } = this.#itemList();
      if (kind === "range") this.#rangeDepth--;
      let otherwise: Statement[] | undefined;
      if (ending.kind === "else") {
        const next = this.#peek();
        if (kind !== "range" && next.kind === "keyword" && next.value === kind) {
          this.#take();
          otherwise = [this.#control(next, kind)];
        } else {
          const rest = this.#itemList();
          if (rest.ending.kind !== "end") this.#fail(`expected end; found ${rest.ending.text}`);
          otherwise = rest.body;
        }
      }
      this.#variables.length = mark;
      return { kind, at: token.at, pipe, body, otherwise };
    });
  }

  #block(): Statement {
    const context = "block clause";
    const token = this.#takeNonSpace();
    const name = this.#templateName(token, context);
    const pipe = this.#pipeline(context, "rightDelim");
    this.#add(name, this.#separateBody(context));
    return { kind: "template", at: token.at, name, pipe };
  }

  #template(): Statement {
    const context = "template clause";
    const token = this.#takeNonSpace();
    const name = this.#templateName(token, context);
    let pipe: Pipe | undefined;
    if (this.#peekNonSpace().kind === "rightDelim") this.#take();
    else pipe = this.#pipeline(context, "rightDelim");
    return { kind: "template", at: token.at, name, pipe };
  }

  #templateName(token: Token, context: string): string {
    if (token.kind !== "string" && token.kind !== "rawString") this.#unexpected(token, context);
    return goUnquote(token.value) ?? this.#fail("invalid syntax");
  }

  #expectRightDelim(context: string): void {
    const token = this.#takeNonSpace();
    if (token.kind !== "rightDelim") this.#unexpected(token, context);
  }

  #pipeline(context: string, end: "rightDelim" | "rightParen"): Pipe {
    const pipe: Pipe = {
      kind: "pipe",
      at: this.#peekNonSpace().at,
      declarations: [],
      isAssignment: false,
      commands: [],
    };
    this.#declarations(pipe, context);
    for (;;) {
      const token = this.#takeNonSpace();
      if (token.kind === end) break;
      if (!STARTS_COMMAND.has(token.kind)) this.#unexpected(token, context);
      this.#next--;
      pipe.commands.push(this.#command());
    }
    if (pipe.commands.length === 0) this.#fail(`missing value for ${context}`);
    pipe.commands.forEach((command, index) => {
      if (index > 0 && NOT_EXECUTABLE.has(command.args[0]!.kind)) {
        this.#fail(`non executable command in pipeline stage ${index + 1}`);
      }
    });
    return pipe;
  }

  #declarations(pipe: Pipe, context: string): void {
    while (this.#peekNonSpace().kind === "variable") {
      const mark = this.#next;
      const variable = this.#take();
      const next = this.#takeNonSpace();
      if (next.kind === "assign" || next.kind === "declare") {
        pipe.isAssignment = next.kind === "assign";
        pipe.declarations.push(variable.value);
        this.#variables.push(variable.value);
        return;
      }
      if (next.kind !== "char" || next.value !== ",") {
        this.#next = mark;
        return;
      }
      pipe.declarations.push(variable.value);
      this.#variables.push(variable.value);
      if (context !== "range" || pipe.declarations.length >= 2) this.#fail(`too many declarations in ${context}`);
      const after = this.#peekNonSpace().kind;
      if (after !== "variable" && after !== "rightDelim" && after !== "rightParen") {
        this.#fail("range can only initialize variables");
      }
    }
  }

  #command(): Command {
    const command: Command = { kind: "command", at: this.#peekNonSpace().at, args: [] };
    for (;;) {
      this.#peekNonSpace();
      const operand = this.#operand();
      if (operand !== undefined) command.args.push(operand);
      const token = this.#take();
      if (token.kind === "space") continue;
      if (token.kind === "rightDelim" || token.kind === "rightParen") this.#next--;
      else if (token.kind !== "pipe") this.#unexpected(token, "operand");
      break;
    }
    if (command.args.length === 0) this.#fail("empty command");
    return command;
  }

  #operand(): Operand | undefined {
    const operand = this.#term();
    if (operand === undefined || this.#peek().kind !== "field") return operand;
    const at = this.#peek().at;
    const names: string[] = [];
    while (this.#peek().kind === "field") names.push(this.#take().value.slice(1));
    switch (operand.kind) {
      case "field":
      case "variable":
        return { kind: operand.kind, at, names: [...operand.names, ...names] };
      case "bool":
      case "string":
      case "number":
      case "nil":
      case "dot":
        this.#fail(`unexpected . after term ${goQuote(termText(operand))}`);
    }
    return { kind: "chain", at, operand, names };
  }

  #term(): Operand | undefined {
    const token = this.#takeNonSpace();
    const { at, value } = token;
    switch (token.kind) {
      case "identifier":
        if (!this.#hasFunction(value)) this.#fail(`function ${goQuote(value)} not defined`);
        return { kind: "identifier", at, name: value };
      case "dot":
      case "nil":
        return { kind: token.kind, at };
      case "variable":
        if (!this.#variables.includes(value)) this.#fail(`undefined variable ${goQuote(value)}`);
        return { kind: "variable", at, names: [value] };
      case "field":
        return { kind: "field", at, names: [value.slice(1)] };
      case "bool":
        return { kind: "bool", at, value: value === "true" };
      case "charConstant":
      case "number":
        return this.#number(token);
      case "string":
      case "rawString":
        return { kind: "string", at, quoted: value, value: goUnquote(value) ?? this.#fail("invalid syntax") };
      case "leftParen":
        return this.#nested(() => this.#pipeline("parenthesized pipeline", "rightParen"));
    }
    this.#next--;
    return undefined;
  }

  #number(token: Token): Operand {
    const { at, value: text } = token;
    if (token.kind === "charConstant") {
      const char = goUnquote(text);
      if (char === undefined || char === "") this.#fail("invalid syntax");
      if ([...char].length !== 1) this.#fail(`malformed character constant: ${text}`);
      return { kind: "number", at, text, value: char.codePointAt(0)!, isInt: true };
    }
    const parsed = parseNumber(text);
    if (typeof parsed === "string") this.#fail(parsed);
    return { kind: "number", at, text, ...parsed };
  }
}

const STARTS_COMMAND = new Set<string>([
  "bool",
  "charConstant",
  "dot",
  "field",
  "identifier",
  "number",
  "nil",
  "rawString",
  "string",
  "variable",
  "leftParen",
]);
const NOT_EXECUTABLE = new Set<string>(["bool", "dot", "nil", "number", "string"]);

function isEnding(node: Statement | Ending): node is Ending {
  return node.kind === "end" || node.kind === "else";
}

function isEmpty(body: Statement[]): boolean {
  return body.every((node) => node.kind === "text" && node.text.trim() === "");
}

function termText(operand: Operand): string {
  switch (operand.kind) {
    case "bool":
      return String(operand.value);
    case "string":
      return operand.quoted;
    case "number":
      return operand.text;
    case "nil":
      return "nil";
    default:
      return ".";
  }
}

function tokenText(token: Token): string {
  if (token.kind === "eof") return "EOF";
  if (token.kind === "keyword") return `<${token.value}>`;
  // Go counts "." and "nil" among its keywords.
  if (token.kind === "dot" || token.kind === "nil") return `<${token.value}>`;
  const runes = [...token.value];
  return runes.length > 10 ? `${goQuote(runes.slice(0, 10).join(""))}...` : goQuote(token.value);
}
