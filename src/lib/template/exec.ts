import { TemplateError } from "./error.ts";
import { formatValue } from "./fmt.ts";
import { BUILTINS, type Parameter, type TemplateFunction } from "./functions.ts";
import { type Command, nodeText, type Operand, type Pipe, type Statement } from "./nodes.ts";
import { goQuote } from "./quote.ts";
import {
  entriesOf,
  fieldOf,
  indirect,
  isInteger,
  isNil,
  isPlainObject,
  isTrue,
  itemsOf,
  MISSING,
  Row,
  sortedKeys,
  Typed,
  typeHasField,
  typeName,
} from "./values.ts";

/** Templates that call templates, deeper than which is hostile. Go stops at 100000, our stack would not reach that. */
const MAX_DEPTH = 1_000;

export interface Program {
  text: string;
  /** What errors call it. */
  name: string;
  templates: ReadonlyMap<string, readonly Statement[]>;
  functions: Readonly<Record<string, TemplateFunction>>;
  /** A key that a map does not have is an error instead of `<no value>`. */
  missingKeyIsError: boolean;
}

/** Runs a program on the data and gives what it writes. Throws TemplateError with Go's wording. */
export function execute(program: Program, data: unknown): string {
  const state = new Execution(program);
  state.template(program.name, data);
  return state.output;
}

/** Stands for "no value comes down the pipeline", which nil is not. */
const NOTHING = Symbol("nothing");

type Flow = "next" | "break" | "continue";
type Located = Operand | Command | (Statement & { kind: "template" });

interface Variable {
  name: string;
  value: unknown;
}

class Execution {
  output = "";
  readonly #program: Program;
  #name = "";
  #variables: Variable[] = [];
  #node: Located | undefined;
  #depth = 0;
  /** What the value whose member is being read was itself read from. */
  #holder: unknown;

  constructor(program: Program) {
    this.#program = program;
  }

  template(name: string, data: unknown): void {
    const body = this.#program.templates.get(name);
    if (body === undefined) this.#fail(`template ${goQuote(name)} not defined`);
    if (++this.#depth > MAX_DEPTH) this.#fail(`exceeded maximum template depth (${MAX_DEPTH})`);
    const [outerName, outerVariables] = [this.#name, this.#variables];
    this.#name = name;
    this.#variables = [{ name: "$", value: data }];
    this.#walk(data, body);
    this.#name = outerName;
    this.#variables = outerVariables;
    this.#depth--;
  }

  #fail(message: string): never {
    if (this.#node === undefined) throw new TemplateError(`template: ${this.#name}: ${message}`, this.output);
    const before = this.#program.text.slice(0, this.#node.at);
    const lineStart = before.lastIndexOf("\n") + 1;
    const line = before.split("\n").length;
    const byte = Buffer.byteLength(before.slice(lineStart));
    const place = `${this.#program.name}:${line}:${byte}: executing ${goQuote(this.#name)} at <${nodeText(this.#node)}>`;
    throw new TemplateError(`template: ${place}: ${message}`, this.output);
  }

  #walk(dot: unknown, body: readonly Statement[]): Flow {
    for (const node of body) {
      const flow = this.#statement(dot, node);
      if (flow !== "next") return flow;
    }
    return "next";
  }

  #statement(dot: unknown, node: Statement): Flow {
    switch (node.kind) {
      case "text":
        this.output += node.text;
        return "next";
      case "action": {
        const value = this.#pipeline(dot, node.pipe);
        if (node.pipe.declarations.length === 0) this.output += printed(value);
        return "next";
      }
      case "if":
      case "with":
        return this.#ifOrWith(dot, node.kind, node.pipe, node.body, node.otherwise);
      case "range":
        return this.#range(dot, node.pipe, node.body, node.otherwise);
      case "template":
        this.#node = node;
        this.template(node.name, node.pipe === undefined ? MISSING : this.#pipeline(dot, node.pipe));
        return "next";
      default:
        return node.kind;
    }
  }

  #ifOrWith(
    dot: unknown,
    kind: "if" | "with",
    pipe: Pipe,
    body: readonly Statement[],
    otherwise: readonly Statement[] | undefined,
  ): Flow {
    const mark = this.#variables.length;
    const value = this.#pipeline(dot, pipe);
    let flow: Flow = "next";
    if (isTrue(value)) flow = this.#walk(kind === "with" ? value : dot, body);
    else if (otherwise !== undefined) flow = this.#walk(dot, otherwise);
    this.#variables.length = mark;
    return flow;
  }

  #range(dot: unknown, pipe: Pipe, body: readonly Statement[], otherwise: readonly Statement[] | undefined): Flow {
    const outerMark = this.#variables.length;
    const value = indirect(this.#pipeline(dot, pipe));
    const mark = this.#variables.length;
    let count = 0;
    for (const [key, item] of this.#iterate(value, pipe)) {
      count++;
      this.#assignLoop(pipe, key, item);
      const flow = this.#walk(item, body);
      this.#variables.length = mark;
      if (flow === "break") break;
    }
    const flow = count === 0 && otherwise !== undefined ? this.#walk(dot, otherwise) : "next";
    this.#variables.length = outerMark;
    return flow;
  }

  *#iterate(value: unknown, pipe: Pipe): Generator<[unknown, unknown]> {
    if (value === MISSING || value === null || value === undefined) return;
    const items = itemsOf(value);
    if (items !== undefined) {
      for (let index = 0; index < items.length; index++) yield [index, items[index]];
      return;
    }
    const entries = entriesOf(value);
    if (entries !== undefined) {
      for (const key of sortedKeys(entries)) yield [key, entries[key]];
      return;
    }
    if (!isInteger(value)) this.#fail(`range can't iterate over ${formatValue(value)}`);
    if (pipe.declarations.length > 1) {
      this.#fail(`can't use ${value} to iterate over more than one variable`);
    }
    for (let index = 0; index < Number(value); index++) yield [index, index];
  }

  #assignLoop(pipe: Pipe, key: unknown, item: unknown): void {
    const [first, second] = pipe.declarations;
    if (first === undefined) return;
    if (pipe.isAssignment) {
      this.#assign(first, second === undefined ? item : key);
      if (second !== undefined) this.#assign(second, item);
      return;
    }
    // The pipeline has declared the variables already; the loop gives them their values.
    const top = this.#variables.length;
    this.#variables[top - 1]!.value = item;
    if (second !== undefined) this.#variables[top - 2]!.value = key;
  }

  #assign(name: string, value: unknown): void {
    const variable = this.#variables.findLast((candidate) => candidate.name === name);
    if (variable === undefined) this.#fail(`undefined variable: ${name}`);
    variable.value = value;
  }

  #pipeline(dot: unknown, pipe: Pipe): unknown {
    this.#node = pipe;
    let value: unknown = NOTHING;
    for (const command of pipe.commands) value = this.#command(dot, command, value);
    if (value === null || value === undefined) value = MISSING;
    for (const name of pipe.declarations) {
      if (pipe.isAssignment) this.#assign(name, value);
      else this.#variables.push({ name, value });
    }
    return value;
  }

  #command(dot: unknown, command: Command, final: unknown): unknown {
    const first = command.args[0]!;
    switch (first.kind) {
      case "field":
        return this.#field(dot, first, command.args, final);
      case "chain":
        return this.#chain(dot, first, command.args, final);
      case "identifier":
        return this.#function(dot, first.name, first, command, command.args, final);
      case "variable":
        return this.#variable(first, dot, command.args, final);
    }
    this.#node = first;
    if (command.args.length > 1 || final !== NOTHING) {
      this.#fail(`can't give argument to non-function ${nodeText(first)}`);
    }
    switch (first.kind) {
      case "pipe":
        return this.#pipeline(dot, first);
      case "dot":
        return dot;
      case "nil":
        this.#fail("nil is not a command");
    }
    if (first.kind === "number") this.#checkSize(first);
    return first.value;
  }

  #field(dot: unknown, node: Operand & { kind: "field" }, args: readonly Operand[], final: unknown): unknown {
    this.#node = node;
    return this.#names(dot, dot, node, node.names, args, final);
  }

  #variable(node: Operand & { kind: "variable" }, dot: unknown, args: readonly Operand[], final: unknown): unknown {
    this.#node = node;
    const [name, ...fields] = node.names;
    const value = this.#variables.findLast((candidate) => candidate.name === name)?.value;
    if (fields.length > 0) return this.#names(dot, value, node, fields, args, final);
    if (args.length > 1 || final !== NOTHING) {
      this.#fail(`can't give argument to non-function ${nodeText(node)}`);
    }
    return value;
  }

  #chain(dot: unknown, node: Operand & { kind: "chain" }, args: readonly Operand[], final: unknown): unknown {
    this.#node = node;
    if (node.operand.kind === "nil") this.#fail(`indirection through explicit nil in ${nodeText(node)}`);
    const value = this.#argument(dot, "any", node.operand);
    return this.#names(dot, value, node, node.names, args, final);
  }

  #names(
    dot: unknown,
    start: unknown,
    node: Operand,
    names: readonly string[],
    args: readonly Operand[],
    final: unknown,
  ): unknown {
    let value = start;
    this.#holder = undefined;
    for (let index = 0; index < names.length; index++) {
      const last = index === names.length - 1;
      const holder = value;
      value = this.#member(dot, value, names[index]!, node, last ? args : [], last ? final : NOTHING);
      this.#holder = holder;
    }
    return value;
  }

  /** One field, key or method of a value. */
  #member(
    dot: unknown,
    value: unknown,
    name: string,
    node: Operand,
    args: readonly Operand[],
    final: unknown,
  ): unknown {
    if (value === MISSING || value === undefined) {
      if (this.#program.missingKeyIsError) this.#fail(`nil data; no entry for key ${goQuote(name)}`);
      return MISSING;
    }
    if (value === null) this.#fail(`nil pointer evaluating interface {}.${name}`);
    const hasArgs = args.length > 1 || final !== NOTHING;
    const target = indirect(value);
    if (target instanceof Row) {
      if (!Object.hasOwn(target.members, name)) this.#cannotEvaluate(name, target);
      const member = target.members[name];
      if (typeof member === "function") return this.#method(dot, member, name, node, args, final);
      if (hasArgs) this.#fail(`${name} has arguments but cannot be invoked as function`);
      return member;
    }
    const entries = entriesOf(target);
    if (entries !== undefined) {
      const member = Object.hasOwn(entries, name) ? entries[name] : undefined;
      if (typeof member === "function") return this.#method(dot, member, name, node, args, final);
      if (hasArgs) this.#fail(`${name} is not a method but has arguments`);
      if (Object.hasOwn(entries, name)) return member;
      if (this.#program.missingKeyIsError) this.#fail(`map has no entry for key ${goQuote(name)}`);
      return MISSING;
    }
    if (target instanceof Typed && target.type.kind === "struct") {
      const field = fieldOf(target, name);
      if (field !== undefined) {
        if (hasArgs) this.#fail(`${name} has arguments but cannot be invoked as function`);
        return field.value;
      }
    }
    if (target instanceof Typed && target.type.kind === "pointer" && typeHasField(target.type, name)) {
      this.#fail(`nil pointer evaluating ${target.type.name}.${name}`);
    }
    this.#cannotEvaluate(name, value);
  }

  #cannotEvaluate(name: string, value: unknown): never {
    // What a map of interfaces holds is of no type but that, as far as its fields go.
    const type = isPlainObject(this.#holder) ? "interface {}" : typeName(value);
    this.#fail(`can't evaluate field ${name} in type ${type}`);
  }

  // biome-ignore lint/complexity/noBannedTypes: a row's method takes what its template gives it
  #method(dot: unknown, method: Function, name: string, node: Operand, args: readonly Operand[], final: unknown) {
    const count = Math.max(0, args.length - 1) + (final === NOTHING ? 0 : 1);
    if (count !== method.length) {
      this.#fail(`wrong number of args for ${name}: want ${method.length} got ${count}`);
    }
    // Nearly all take nothing, and there are many in a long listing.
    const given = count === 0 ? [] : args.slice(1).map((arg) => this.#argument(dot, "string", arg));
    if (final !== NOTHING) given.push(this.#checked(final, "string"));
    try {
      return (count === 0 ? method() : method(...given)) as unknown;
    } catch (error) {
      this.#node = node;
      this.#fail(`error calling ${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** Calls a function by its name; what it throws is placed at the whole `call`. */
  #function(
    dot: unknown,
    name: string,
    node: Operand,
    call: Located,
    args: readonly Operand[],
    final: unknown,
  ): unknown {
    this.#node = node;
    const callee = Object.hasOwn(this.#program.functions, name) ? this.#program.functions[name] : undefined;
    if (callee === undefined) this.#fail(`${goQuote(name)} is not a defined function`);
    const rest = args.slice(1);
    const count = rest.length + (final === NOTHING ? 0 : 1);
    const fixed = callee.parameters.length;
    if (callee.variadic === undefined && count !== fixed) {
      this.#fail(`wrong number of args for ${name}: want ${fixed} got ${count}`);
    }
    if (count < fixed) this.#fail(`wrong number of args for ${name}: want at least ${fixed} got ${count}`);
    if (callee === BUILTINS.and || callee === BUILTINS.or) return this.#andOr(dot, name === "or", rest, final);
    const parameterAt = (index: number) => callee.parameters[index] ?? callee.variadic ?? "any";
    const values = rest.map((arg, index) => this.#argument(dot, parameterAt(index), arg));
    if (final !== NOTHING) values.push(this.#checked(final, parameterAt(rest.length)));
    try {
      if (callee === BUILTINS.call) throw new Error(notCallable(values[0], rest[0]));
      return callee.call(...(values as never[]));
    } catch (error) {
      this.#node = call;
      this.#fail(`error calling ${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #andOr(dot: unknown, stopAt: boolean, args: readonly Operand[], final: unknown): unknown {
    let value: unknown;
    for (const arg of args) {
      value = this.#argument(dot, "any", arg);
      if (isTrue(value) === stopAt) return value;
    }
    return final === NOTHING ? value : final;
  }

  #argument(dot: unknown, type: Parameter, node: Operand): unknown {
    this.#node = node;
    switch (node.kind) {
      case "dot":
        return this.#checked(dot, type);
      case "nil":
        if (type === "string" || type === "int") this.#fail(`cannot assign nil to ${type}`);
        return null;
      case "field":
        return this.#checked(this.#field(dot, node, [node], NOTHING), type);
      case "variable":
        return this.#checked(this.#variable(node, dot, [], NOTHING), type);
      case "pipe":
        return this.#checked(this.#pipeline(dot, node), type);
      case "identifier":
        return this.#checked(this.#function(dot, node.name, node, node, [node], NOTHING), type);
      case "chain":
        return this.#checked(this.#chain(dot, node, [node], NOTHING), type);
    }
    // A constant.
    if (type === "string" && node.kind !== "string") this.#fail(`expected string; found ${nodeText(node)}`);
    if (type === "int" && !(node.kind === "number" && node.isInt)) {
      this.#fail(`expected integer; found ${nodeText(node)}`);
    }
    if (node.kind === "number") this.#checkSize(node);
    if (type === "[]string") this.#fail(`can't handle ${nodeText(node)} for arg of type []string`);
    return node.value;
  }

  /** A constant between int64 and uint64 is parsed, but nothing can take it. */
  #checkSize(node: Operand & { kind: "number" }): void {
    if (!node.isInt && typeof node.value === "bigint") this.#fail(`${node.text} overflows int`);
  }

  #checked(value: unknown, type: Parameter): unknown {
    if (type === "any") return value;
    if (value === MISSING || value === null || value === undefined) {
      if (type === "[]string" && value !== undefined) return [];
      this.#fail(`invalid value; expected ${type}`);
    }
    const fits =
      type === "string"
        ? typeof value === "string"
        : type === "int"
          ? isInteger(value)
          : isStrings(value) || (value instanceof Typed && isNil(value) && value.type.kind === "slice");
    if (!fits) this.#fail(`wrong type for value; expected ${type}; got ${typeName(value)}`);
    return value;
  }
}

function notCallable(value: unknown, node: Operand | undefined): string {
  if (value === MISSING || isNil(value)) return "call of nil";
  return `non-function ${node === undefined ? "" : nodeText(node)} of type ${typeName(value)}`;
}

function isStrings(value: unknown): boolean {
  if (value instanceof Typed) return value.type.kind === "slice" && value.type.elem.kind === "string";
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

/** A value as an action writes it. */
function printed(value: unknown): string {
  if (typeof value === "string") return value;
  const target = indirect(value);
  return target === MISSING || target === null || target === undefined ? "<no value>" : formatValue(target);
}
