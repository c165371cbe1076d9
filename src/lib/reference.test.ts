import { describe, expect, test } from "bun:test";
import {
  canonicalString,
  familiarString,
  isSha256,
  parseReference,
  shortId,
  withDefaultTag,
  withDigest,
  withTag,
} from "./reference.ts";

const hex = "8a096c41d98a1d330cf260cfdafb79657d1ab5ba2cc3336b6323e63015627bf8";

describe("parseReference", () => {
  const cases: [string, string, string][] = [
    ["alpine", "docker.io/library/alpine", "alpine"],
    ["alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"],
    ["library/alpine", "docker.io/library/alpine", "alpine"],
    ["docker.io/alpine", "docker.io/library/alpine", "alpine"],
    ["index.docker.io/library/alpine", "docker.io/library/alpine", "alpine"],
    ["me/tool:1", "docker.io/me/tool:1", "me/tool:1"],
    ["localhost/tool", "localhost/tool", "localhost/tool"],
    ["localhost:5000/tool:1", "localhost:5000/tool:1", "localhost:5000/tool:1"],
    ["[::1]:5000/a/b:c", "[::1]:5000/a/b:c", "[::1]:5000/a/b:c"],
    ["ghcr.io/a/b__c/d--e", "ghcr.io/a/b__c/d--e", "ghcr.io/a/b__c/d--e"],
    ["Host/x", "Host/x", "Host/x"],
    [`alpine@sha256:${hex}`, `docker.io/library/alpine@sha256:${hex}`, `alpine@sha256:${hex}`],
    [`alpine:1@sha256:${hex}`, `docker.io/library/alpine:1@sha256:${hex}`, `alpine:1@sha256:${hex}`],
    ["sha256:12", "docker.io/library/sha256:12", "sha256:12"],
  ];
  for (const [text, canonical, familiar] of cases)
    test(text, () => {
      const reference = parseReference(text);
      expect(canonicalString(reference)).toBe(canonical);
      expect(familiarString(reference)).toBe(familiar);
    });

  const refusals: [string, string][] = [
    ["", "invalid reference format"],
    ["UPPER", "invalid reference format: repository name (library/UPPER) must be lowercase"],
    ["a/B:c", "invalid reference format: repository name (a/B) must be lowercase"],
    ["a b", "invalid reference format"],
    ["-a", "invalid reference format"],
    ["a..b", "invalid reference format"],
    ["../etc/passwd", "invalid reference format"],
    ["a:", "invalid reference format"],
    ["a:-x", "invalid reference format"],
    [`a:${"x".repeat(129)}`, "invalid reference format"],
    ["a@sha256:12", "invalid reference format"],
    [`a@sha256:${hex}0`, "invalid checksum digest length"],
    [`a@sha256:${hex.toUpperCase()}`, "invalid checksum digest format"],
    [`a@md5:${hex}`, "unsupported digest algorithm"],
    [hex, `invalid repository name (${hex}), cannot specify 64-byte hexadecimal strings`],
    ["a".repeat(260), "repository name must not be more than 255 characters"],
  ];
  for (const [text, message] of refusals)
    test(`refuses ${text.slice(0, 40)}`, () => expect(() => parseReference(text)).toThrow(message));
});

test("tags and digests can be put on a name", () => {
  const name = parseReference("alpine");
  expect(canonicalString(withDefaultTag(name))).toBe("docker.io/library/alpine:latest");
  expect(familiarString(withTag(name, "3"))).toBe("alpine:3");
  expect(familiarString(withDigest(withTag(name, "3"), `sha256:${hex}`))).toBe(`alpine@sha256:${hex}`);
  expect(() => withTag(name, "-b")).toThrow("invalid tag format");
  expect(shortId(`sha256:${hex}`)).toBe("8a096c41d98a");
  expect(isSha256(`sha256:${hex}`)).toBe(true);
  expect(isSha256(`sha256:../${hex.slice(3)}`)).toBe(false);
});
