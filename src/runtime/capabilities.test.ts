import { expect, test } from "bun:test";
import { allCapabilities, containerCapabilities, defaultCapabilities } from "./capabilities.ts";

const maskOf = (names: string[]) =>
  names.reduce((mask, name) => mask | (1n << BigInt(allCapabilities.indexOf(name))), 0n).toString(16);
const get = (request: Parameters<typeof containerCapabilities>[0]) => containerCapabilities(request, allCapabilities);

test("the default set is Docker's", () => {
  expect(maskOf(get({}))).toBe("a80425fb");
});

test("adding and dropping", () => {
  expect(get({ CapAdd: ["net_admin"], CapDrop: ["CAP_MKNOD"] })).toEqual(
    allCapabilities.filter(
      (name) => name === "CAP_NET_ADMIN" || (defaultCapabilities.includes(name) && name !== "CAP_MKNOD"),
    ),
  );
  expect(get({ CapDrop: ["ALL"] })).toEqual([]);
  expect(get({ CapDrop: ["ALL"], CapAdd: ["CHOWN"] })).toEqual(["CAP_CHOWN"]);
  expect(get({ CapAdd: ["all"], CapDrop: ["MKNOD"] })).toEqual(allCapabilities.filter((name) => name !== "CAP_MKNOD"));
  expect(get({ Privileged: true, CapDrop: ["ALL"] })).toEqual(allCapabilities);
});

test("never more than the daemon has", () => {
  const available = allCapabilities.filter((name) => name !== "CAP_SYS_RESOURCE");
  expect(containerCapabilities({ Privileged: true }, available)).toEqual(available);
  expect(() => containerCapabilities({ CapAdd: ["SYS_RESOURCE"] }, available)).toThrow(
    'invalid CapAdd: capability not supported by your kernel or not available in the current environment: "CAP_SYS_RESOURCE"',
  );
  expect(() => get({ CapDrop: ["FOO"] })).toThrow('invalid CapDrop: unknown capability: "CAP_FOO"');
});
