import { describe, expect, test } from "bun:test";
import { choosePlatform, formatPlatform, parsePlatform } from "./platform.ts";

test("platforms are written in their normal form", () => {
  for (const [text, normal] of [
    ["linux/amd64", "linux/amd64"],
    ["linux/x86_64", "linux/amd64"],
    ["linux/arm64/v8", "linux/arm64"],
    ["linux/aarch64", "linux/arm64"],
    ["linux/arm", "linux/arm/v7"],
    ["linux/arm/6", "linux/arm/v6"],
    ["linux/armhf", "linux/arm/v7"],
    ["arm64", "linux/arm64"],
    ["windows/amd64", "windows/amd64"],
  ] as const)
    expect(formatPlatform(parsePlatform(text))).toBe(normal);
  expect(() => parsePlatform("linux/foo/x/y")).toThrow(
    '"linux/foo/x/y": cannot parse platform specifier: invalid argument',
  );
  expect(() => parsePlatform("nonsense")).toThrow("unknown operating system or architecture");
});

describe("choosePlatform", () => {
  const entry = (name: string) => {
    const [os, architecture, variant] = name.split("/") as [string, string, string | undefined];
    const platform = { os, architecture, ...(variant ? { variant } : {}) };
    return { mediaType: "", digest: name, size: 0, platform };
  };
  for (const [wanted, offered, chosen] of [
    ["linux/amd64", ["linux/386", "linux/amd64"], "linux/amd64"],
    ["linux/arm64", ["linux/arm/v7", "linux/arm64/v8"], "linux/arm64/v8"],
    ["linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v8"], "linux/arm/v6"],
    ["linux/arm64", ["linux/arm/v5", "linux/arm/v7"], "linux/arm/v7"],
    ["linux/amd64", ["linux/amd64/v3"], undefined],
    ["linux/amd64/v3", ["linux/amd64/v4", "linux/amd64/v2", "linux/amd64"], "linux/amd64"],
    ["linux/amd64", ["windows/amd64", "unknown/unknown"], undefined],
  ] as const)
    test(`${wanted} of ${offered.join(" ")}`, () =>
      expect(choosePlatform(offered.map(entry), parsePlatform(wanted))?.digest).toBe(chosen!));
});
