import { describe, expect, test } from "bun:test";
import type { CliContext } from "./command.ts";
import golden from "./inspect.golden.json";
import { type Inspected, inspectAll } from "./inspect.ts";

/** Runs the command's core on fixed objects; what it printed, and what it threw. */
async function inspect(format: string, objects: Record<string, Inspected>, names = Object.keys(objects)) {
  let output = "";
  const ctx = { out: (text: string) => (output += text) } as unknown as CliContext;
  try {
    const find = async (name: string) => {
      const object = objects[name];
      if (object === undefined) throw new Error(`Error: No such object: ${name}`);
      return object;
    };
    await inspectAll(ctx, names, format, find);
    return { output, error: undefined };
  } catch (error) {
    return { output, error: (error as Error).message };
  }
}

describe("inspect -f says what docker 28.2.2 said of the same container", () => {
  const container: Inspected = { json: JSON.stringify(golden.container), kind: "container" };
  for (const { template, output, error } of golden.cases) {
    test(JSON.stringify(template), async () => {
      expect(await inspect(template, { container })).toEqual({ output, error });
    });
  }
});

describe("inspect without a template", () => {
  test("indents by four, keeps numbers and escapes, and shows errors after what was found", async () => {
    const json = '{"a":12345678901234567890,"b":"\\u003c,:{","c":[],"d":{},"e":[1,{"f":null}]}\n';
    const { output, error } = await inspect("", { x: { json } }, ["nope", "x"]);
    expect(error).toBe("Error: No such object: nope");
    expect(output).toBe(
      '[\n    {\n        "a": 12345678901234567890,\n        "b": "\\u003c,:{",\n        "c": [],\n        "d": {},\n' +
        '        "e": [\n            1,\n            {\n                "f": null\n            }\n        ]\n    }\n]\n',
    );
  });

  test("of nothing is an empty list", async () => {
    expect((await inspect("", {}, ["nope"])).output).toBe("[]\n");
  });

  test("as json is one line", async () => {
    expect((await inspect("json", { x: { json: '{"a":1}' }, y: { json: "{}" } })).output).toBe('[{"a":1},{}]\n');
  });
});

test("integers beyond 2^53 stay exact, typed or not", async () => {
  const json = '{"HostConfig":{"Memory":9007199254740993,"Nope":9007199254740993}}';
  const object: Inspected = { json, kind: "container" };
  expect((await inspect("{{.HostConfig.Memory}}", { object })).output).toBe("9007199254740993\n");
  expect((await inspect("{{.HostConfig.Nope}}", { object })).output).toBe("9007199254740993\n");
});
