import { describe, expect, test } from "bun:test";
import { type FlagSpec, HelpRequested, parseFlags, parseInteger, quote } from "./flags.ts";

const specs: FlagSpec[] = [
  { name: "interactive", short: "i", type: "bool", usage: "" },
  { name: "tty", short: "t", type: "bool", usage: "" },
  { name: "rm", type: "bool", usage: "" },
  { name: "publish", short: "p", type: "list", usage: "" },
  { name: "name", type: "string", default: "none", usage: "" },
  { name: "timeout", short: "n", type: "int", usage: "" },
  { name: "time", type: "int", sameAs: "timeout", deprecated: "use --timeout instead", usage: "" },
  { name: "weight", type: "uint16", usage: "" },
  { name: "scale", type: "optionalString", implied: "all", usage: "" },
  {
    name: "even",
    type: "string",
    usage: "",
    parse: (text) => {
      if (Number(text) % 2 !== 0) throw new Error("not even");
      return Number(text);
    },
  },
];

const parse = (argv: string[], interspersed = true) => parseFlags(specs, argv, { interspersed });

describe("grammar", () => {
  test("letters together, a value glued to its letter or after an equals sign", () => {
    const flags = parse(["-it", "-p8080:80", "-p=81:81", "-p", "82", "-itp83"]);
    expect(flags.bool("interactive") && flags.bool("tty")).toBe(true);
    expect(flags.list("publish")).toEqual(["8080:80", "81:81", "82", "83"]);
  });

  test("a bool takes a value only behind an equals sign", () => {
    expect(parse(["--rm=false", "x"]).bool("rm")).toBe(false);
    expect(parse(["--rm", "false"]).args).toEqual(["false"]);
    expect(parse(["-i=false", "-t=1"]).bool("interactive")).toBe(false);
  });

  test("interspersed flags may follow arguments; otherwise the first argument ends them", () => {
    expect(parse(["a", "--rm", "b"]).args).toEqual(["a", "b"]);
    const flags = parse(["--rm", "image", "ls", "--name", "x"], false);
    expect(flags.args).toEqual(["image", "ls", "--name", "x"]);
    expect(flags.has("name")).toBe(false);
  });

  test("two dashes end the flags and vanish, but only the first time", () => {
    const flags = parse(["a", "--", "--rm", "--"]);
    expect(flags.args).toEqual(["a", "--rm", "--"]);
    expect(flags.argsBeforeDash).toBe(1);
    expect(parse(["image", "--", "x"], false).args).toEqual(["image", "--", "x"]);
  });

  test("one dash is an argument, and a value may begin with one", () => {
    expect(parse(["-", "--name", "-x"]).args).toEqual(["-"]);
    expect(parse(["--name", "-x"]).string("name")).toBe("-x");
  });

  test("an optional value comes only behind an equals sign", () => {
    expect(parse(["--scale", "3"]).string("scale")).toBe("all");
    expect(parse(["--scale=3"]).string("scale")).toBe("3");
  });

  test("defaults, the last value, other spellings and what is deprecated", () => {
    expect(parse([]).string("name")).toBe("none");
    expect(parse(["--name", "a", "--name=b"]).string("name")).toBe("b");
    const flags = parse(["--time", "5"]);
    expect(flags.int("timeout")).toBe(5);
    expect(flags.warnings).toEqual(["Flag --time has been deprecated, use --timeout instead"]);
    expect(parse(["--even", "4"]).value<number>("even")).toBe(4);
  });

  test("help, unless the letter means something else", () => {
    expect(() => parse(["--help"])).toThrow(HelpRequested);
    expect(() => parse(["-h"])).toThrow(HelpRequested);
    expect(() => parse(["-ih"])).toThrow(HelpRequested);
  });
});

test("refusals have docker's sentences", () => {
  const cases: [string[], string][] = [
    [["--x"], "unknown flag: --x"],
    [["--x=1"], "unknown flag: --x"],
    [["-X"], "unknown shorthand flag: 'X' in -X"],
    [["-iXt"], "unknown shorthand flag: 'X' in -Xt"],
    [["--name"], "flag needs an argument: --name"],
    [["-ip"], "flag needs an argument: 'p' in -p"],
    [["--=x"], "bad flag syntax: --=x"],
    [["---x"], "bad flag syntax: ---x"],
    [["--rm=foo"], 'invalid argument "foo" for "--rm" flag: strconv.ParseBool: parsing "foo": invalid syntax'],
    [["-n", "x"], 'invalid argument "x" for "-n, --timeout" flag: strconv.ParseInt: parsing "x": invalid syntax'],
    [
      ["--weight=70000"],
      'invalid argument "70000" for "--weight" flag: strconv.ParseUint: parsing "70000": value out of range',
    ],
    [["--weight=-1"], 'invalid argument "-1" for "--weight" flag: strconv.ParseUint: parsing "-1": invalid syntax'],
    [["--even", "3"], 'invalid argument "3" for "--even" flag: not even'],
  ];
  for (const [argv, message] of cases) expect(() => parse(argv)).toThrow(message);
});

test("integers in Go's notations", () => {
  expect(parseInteger("0x10", "ParseInt", 64)).toBe(16n);
  expect(parseInteger("010", "ParseInt", 64)).toBe(8n);
  expect(parseInteger("-0b11", "ParseInt", 64)).toBe(-3n);
  expect(parseInteger("1_000", "ParseInt", 64)).toBe(1000n);
  expect(parseInteger("010", "ParseInt", 64, 10)).toBe(10n);
  for (const text of ["", "08", "1__0", "_1", "1.5", " 1", "0x"]) {
    expect(() => parseInteger(text, "ParseInt", 64)).toThrow("invalid syntax");
  }
  expect(() => parseInteger("9223372036854775808", "ParseInt", 64)).toThrow("value out of range");
});

test("quotes like Go", () => {
  expect(quote('a"b\n\u0001')).toBe('"a\\"b\\n\\x01"');
});
