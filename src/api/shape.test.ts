import { expect, test } from "bun:test";
import { parseJson } from "./body.ts";
import { createBody } from "./request-shapes.ts";
import { readShape } from "./shape.ts";

const read = (value: unknown) => readShape(createBody, value);

// Each sentence is what Docker's daemon says to the same value, but for the names of its own types, which have changed.
test.each<[unknown, string]>([
  [{ Image: 1 }, "number into Go struct field CreateRequest.Config.Image of type string"],
  [{ Env: [1] }, "number into Go struct field CreateRequest.Config.Env of type string"],
  [{ Env: "x" }, "string into Go struct field CreateRequest.Config.Env of type []string"],
  [{ Labels: ["a"] }, "array into Go struct field CreateRequest.Config.Labels of type map[string]string"],
  [{ Labels: { a: 1 } }, "number into Go struct field CreateRequest.Config.Labels of type string"],
  [{ Tty: "true" }, "string into Go struct field CreateRequest.Config.Tty of type bool"],
  [{ StopTimeout: 1.5 }, "number 1.5 into Go struct field CreateRequest.Config.StopTimeout of type int"],
  [{ HostConfig: [] }, "array into Go struct field CreateRequest.HostConfig of type container.HostConfig"],
  [{ HostConfig: { Memory: "x" } }, "string into Go struct field HostConfig.HostConfig.Resources.Memory of type int64"],
  [
    { HostConfig: { RestartPolicy: { Name: 1 } } },
    "number into Go struct field RestartPolicy.HostConfig.RestartPolicy.Name of type container.RestartPolicyMode",
  ],
  [
    { HostConfig: { PortBindings: { "80/tcp": [{ HostPort: 80 }] } } },
    "number into Go struct field PortBinding.HostConfig.PortBindings.HostPort of type string",
  ],
  [
    { NetworkingConfig: { EndpointsConfig: { bridge: { IPAMConfig: { IPv4Address: 1 } } } } },
    "number into Go struct field EndpointIPAMConfig.NetworkingConfig.EndpointsConfig.IPAMConfig.IPv4Address of type string",
  ],
  [
    { ExposedPorts: { "80/tcp": 1 } },
    "number into Go struct field CreateRequest.Config.ExposedPorts of type struct {}",
  ],
  [
    { HostConfig: { ConsoleSize: [1, -2] } },
    "number -2 into Go struct field HostConfig.HostConfig.ConsoleSize of type uint",
  ],
])("%p", (value, rest) => {
  expect(() => read(value)).toThrow(`invalid JSON: json: cannot unmarshal ${rest}`);
});

test("case does not matter, null is absent, the unknown is dropped, the last one counts", () => {
  expect(read(JSON.parse('{"IMAGE":"a","image":"b","tty":null,"x":1,"hostconfig":{"BINDS":["a:b",null]}}'))).toEqual({
    Image: "b",
    HostConfig: { Binds: ["a:b", ""] },
  });
  expect(read({ Cmd: "one word", Entrypoint: ["a", "b"] })).toEqual({ Cmd: ["one word"], Entrypoint: ["a", "b"] });
});

test("no input reaches a prototype", () => {
  const body = read(
    JSON.parse('{"__proto__":{"Image":"x"},"constructor":{"a":1},"Labels":{"__proto__":"x","constructor":"y"}}'),
  );
  expect(body.Image).toBeUndefined();
  expect(Object.keys(body.Labels ?? {})).toEqual(["constructor"]);
  expect(Object.getPrototypeOf(body.Labels)).toBe(Object.prototype);
  expect(({} as { Image?: string }).Image).toBeUndefined();
});

test.each<[string, string]>([
  ["{", "invalid JSON: unexpected EOF"],
  ["{Image:1}", "invalid JSON: invalid character 'I' looking for beginning of object key string"],
  ['{"a" 1}', "invalid JSON: invalid character '1' after object key"],
  ['{"a":1 "b"}', `invalid JSON: invalid character '"' after object key:value pair`],
  ["[1 2]", "invalid JSON: invalid character '2' after array element"],
  ["x", "invalid JSON: invalid character 'x' looking for beginning of value"],
  ['"a\x01b"', "invalid JSON: invalid character '\\x01' in string literal"],
  ['"\\x"', "invalid JSON: invalid character 'x' in string escape code"],
  ['"\\u12g4"', "invalid JSON: invalid character 'g' in \\u hexadecimal character escape"],
  ["trux", "invalid JSON: invalid character 'x' in literal true (expecting 'e')"],
  ["-x", "invalid JSON: invalid character 'x' in numeric literal"],
  ["1.x", "invalid JSON: invalid character 'x' after decimal point in numeric literal"],
  ["1ex", "invalid JSON: invalid character 'x' in exponent of numeric literal"],
  ["{} x", "unexpected content after JSON"],
  ["{}{}", "unexpected content after JSON"],
  ["01", "unexpected content after JSON"],
])("JSON %p", (text, sentence) => {
  expect(() => parseJson(text)).toThrow(sentence);
});

test("deep nesting does no harm", () => {
  expect(() => parseJson(`${"[".repeat(2_000_000)}`)).toThrow("invalid JSON: ");
});
