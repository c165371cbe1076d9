import { expect, test } from "bun:test";
import { type ProgressMessage, showProgress } from "./progress.ts";

async function shown(messages: ProgressMessage[], isTerminal: boolean, columns = 80): Promise<string> {
  let text = "";
  const source = (async function* () {
    yield* messages;
  })();
  await showProgress(source, { write: (part) => (text += part), isTerminal, columns: () => columns });
  return text;
}

const pull: ProgressMessage[] = [
  { status: "Pulling from library/alpine", id: "latest" },
  { status: "Pulling fs layer", progressDetail: {}, id: "aaa" },
  { status: "Pulling fs layer", progressDetail: {}, id: "bbb" },
  { status: "Downloading", progressDetail: { current: 500_000, total: 1_000_000 }, id: "aaa" },
  { status: "Pull complete", progressDetail: {}, id: "bbb" },
  { status: "Status: Downloaded newer image for alpine:latest" },
];

test("without a terminal there are lines, but no bars", async () => {
  expect(await shown(pull, false)).toBe(
    "latest: Pulling from library/alpine\naaa: Pulling fs layer\nbbb: Pulling fs layer\nbbb: Pull complete\n" +
      "Status: Downloaded newer image for alpine:latest\n",
  );
});

test("a terminal has one line for each layer, drawn anew in its place", async () => {
  const text = await shown(pull, true);
  expect(text).toContain("\n\x1b[1A\x1b[2K\raaa: Pulling fs layer \r\x1b[1B");
  expect(text).toContain("\x1b[2A\x1b[2K\raaa: Downloading    500kB/1MB\r\x1b[2B");
  expect(text).toContain("\x1b[1A\x1b[2K\rbbb: Pull complete \r\x1b[1B");
});

test("a wide terminal has bars", async () => {
  const text = await shown(pull, true, 120);
  expect(text).toContain(`aaa: Downloading [${"=".repeat(25)}>${" ".repeat(25)}]    500kB/1MB\r`);
});

test("the engine's error is thrown", async () => {
  const failed = { error: "no such host", errorDetail: { message: "no such host" } };
  expect(shown([...pull, failed], false)).rejects.toThrow("no such host");
});
