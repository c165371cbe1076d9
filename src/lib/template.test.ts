import { describe, expect, test } from "bun:test";
import { Row } from "./template/values.ts";
import { compileTemplate, TemplateError } from "./template.ts";

const row = new Row("*formatter.ContainerContext", {
  ID: () => "74042cc62abf",
  Names: () => "clib-a",
  Label: (name: string) => ({ a: "b" })[name] ?? "",
});

function errorOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof TemplateError) return error.message;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("rows", () => {
  test("members are called, with their arguments", () => {
    const template = compileTemplate(
      '{{.ID}} {{.Label "a"}}{{.Label "x"}} {{.Names | printf "%-8s|"}} {{"a" | .Label}}',
    );
    expect(template.execute(row)).toBe("74042cc62abf b clib-a  | b");
  });

  test("json has every member that takes nothing, by name, with HTML escaped", () => {
    const html = new Row("*x", { B: () => "<b>", A: () => 1, Label: (name: string) => name });
    expect(compileTemplate("{{json .}}").execute(html)).toBe('{"A":1,"B":"\\u003cb\\u003e"}');
  });

  test.each([
    [
      "{{.Foo}}",
      `template: :1:2: executing "" at <.Foo>: can't evaluate field Foo in type *formatter.ContainerContext`,
    ],
    ["{{.ID.Foo}}", `template: :1:5: executing "" at <.ID.Foo>: can't evaluate field Foo in type string`],
    ["{{.Label}}", `template: :1:2: executing "" at <.Label>: wrong number of args for Label: want 1 got 0`],
    ["{{.Label 5}}", `template: :1:9: executing "" at <5>: expected string; found 5`],
    ["{{.Names | truncate 3}}", `template: :1:20: executing "" at <3>: expected string; found 3`],
  ])("%s", (text, message) => {
    expect(errorOf(() => compileTemplate(text).execute(row))).toBe(message);
  });
});

describe("headings", () => {
  test("pass through Docker's functions as they are", () => {
    const template = compileTemplate(
      '{{json .ID}} {{upper .Names}} {{join .ID ","}} {{truncate .Names 2}} {{pad .ID 1 1}}',
    );
    expect(template.executeHeader({ ID: "Id", Names: "Names" })).toBe("Id Names Id Names Id");
  });
});

describe("plain data", () => {
  test("a missing key has no value, or is an error", () => {
    const template = compileTemplate("{{.a.b}}");
    expect(template.execute({ a: {} })).toBe("<no value>");
    expect(errorOf(() => template.executeStrict({ a: {} }))).toBe(
      'template: :1:4: executing "" at <.a.b>: map has no entry for key "b"',
    );
  });

  test("members of Object's prototype are no keys", () => {
    expect(compileTemplate("{{.constructor}} {{.__proto__}}").execute({})).toBe("<no value> <no value>");
  });

  test("nil inside a list prints as fmt does", () => {
    expect(compileTemplate("{{.}}").execute({ a: [null, "x", 1, true, { b: null }] })).toBe(
      "map[a:[<nil> x 1 true map[b:<nil>]]]",
    );
  });
});

describe("hostile templates end in an error", () => {
  test("deep nesting", () => {
    expect(errorOf(() => compileTemplate(`{{${"(".repeat(100_000)}`))).toContain("levels of nesting");
    expect(errorOf(() => compileTemplate("{{if 1}}".repeat(10_000)))).toContain("levels of nesting");
  });

  test("endless recursion", () => {
    const template = compileTemplate('{{define "R"}}{{template "R"}}{{end}}{{template "R"}}');
    expect(errorOf(() => template.execute({}))).toContain("exceeded maximum template depth");
  });

  test("huge widths are capped", () => {
    expect(compileTemplate('{{len (printf "%999999999d" 1)}}').execute({})).toBe("1000000");
  });
});

test("the error says what had been written", () => {
  try {
    compileTemplate("abc {{.x}} {{index .l 9}}").execute({ x: 1, l: [] });
  } catch (error) {
    expect((error as TemplateError).output).toBe("abc 1 ");
    return;
  }
  throw new Error("nothing was thrown");
});

test("names and lines are where Go puts them", () => {
  expect(errorOf(() => compileTemplate("a\n\n{{.x", "version"))).toBe("template: version:3: unclosed action");
  expect(errorOf(() => compileTemplate("é{{.x.y}}").execute({ x: "" }))).toBe(
    `template: :1:6: executing "" at <.x.y>: can't evaluate field y in type interface {}`,
  );
});
