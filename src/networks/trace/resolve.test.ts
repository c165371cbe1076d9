import { expect, test } from "bun:test";
import { readAnswer } from "./ask-names.ts";
import { addressesInHosts } from "./resolve.ts";

test("names in a hosts file: IPv4 first, without comments, whatever their case", () => {
  const content =
    "127.0.0.1\tlocalhost\n::1 localhost ip6\n10.0.0.2 Web # old\n# 10.0.0.3 web\nnonsense web\n\n10.0.0.2 web";
  expect(addressesInHosts(content, "localhost")).toEqual(["127.0.0.1", "::1"]);
  expect(addressesInHosts(content, "web.")).toEqual(["10.0.0.2"]);
  expect(addressesInHosts(content, "old")).toEqual([]);
  expect(addressesInHosts("", "web")).toEqual([]);
});

test("answers of name servers: compressed names, other records between, and what is cut off", () => {
  const question = Buffer.from("\x03web\x00\x00\x01\x00\x01", "latin1");
  const answer = (code: number, count: number, records: number[]) =>
    Buffer.concat([Buffer.from([0, 1, 0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]), question, Buffer.from(records)]);
  const end = 12 + question.length;
  const alias = [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 3, 1, 97, 0];
  const address = [1, 97, 0, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 2];
  expect(readAnswer(answer(0, 2, [...alias, ...address]), end, 1)).toEqual({ addresses: ["10.0.0.2"] });
  expect(readAnswer(answer(0, 0, []), end, 1)).toEqual({ addresses: [] });
  expect(readAnswer(answer(3, 0, []), end, 1)).toBe("noName");
  expect(readAnswer(answer(5, 0, []), end, 1)).toBe("failed");
  for (let length = 0; length < address.length - 4; length++)
    expect(() => readAnswer(answer(0, 1, address.slice(0, length)), end, 1)).toThrow();
});
