import { expect, test } from "bun:test";
import { alignColumns } from "./table.ts";

test("cells are at least ten wide and padded by three", () => {
  expect(alignColumns("A\tBCDEFGHIJK\tC\nx\ty\tz\n")).toBe("A         BCDEFGHIJK   C\nx         y            z\n");
});

test("an empty last cell leaves the padding before it", () => {
  expect(alignColumns("A\tB\nx\t\n")).toBe("A         B\nx         \n");
});

test("a column ends where a line has no such cell", () => {
  expect(alignColumns("a long first cell\tb\nalone\nx\ty\n")).toBe("a long first cell   b\nalone\nx         y\n");
});

test("width counts characters, not bytes", () => {
  expect(alignColumns("éééééééééé\tx\n")).toBe("éééééééééé   x\n");
});

test("other settings", () => {
  expect(alignColumns("UID\tPID\nroot\t1\n", { minWidth: 20, padding: 3 })).toBe(
    "UID                 PID\nroot                1\n",
  );
});
