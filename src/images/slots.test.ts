import { expect, test } from "bun:test";
import { Slots } from "./slots.ts";

const never = new AbortController().signal;

test("whoever gives up does not take the turn of the next", async () => {
  const slots = new Slots(() => 1);
  await slots.enter(never);
  const gone = new AbortController();
  const first = slots.enter(gone.signal);
  const second = slots.enter(never);
  gone.abort(new Error("gone"));
  await expect(first).rejects.toThrow("gone");
  slots.leave();
  await second;
  expect(slots.isFull).toBe(true);
});

test("one that is woken and aborted at once passes its turn on", async () => {
  const slots = new Slots(() => 1);
  await slots.enter(never);
  const gone = new AbortController();
  const first = slots.enter(gone.signal);
  const second = slots.enter(never);
  slots.leave();
  gone.abort(new Error("gone"));
  await expect(first).rejects.toThrow("gone");
  await second;
});

test("0 is no limit", async () => {
  const slots = new Slots(() => 0);
  for (let count = 0; count < 100; count++) await slots.enter(never);
  expect(slots.isFull).toBe(false);
});
