import { expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { addToEventFd, createEventFd, EPOLLIN, Epoll, takeFromEventFd } from "./epoll.ts";

test("what is ready is reported by its token, as long as it is ready", () => {
  const epoll = new Epoll(2);
  const counters = [createEventFd(), createEventFd(), createEventFd()] as const;
  for (const [index, fd] of counters.entries()) epoll.add(fd, EPOLLIN, 0xffff_fff0 + index);
  expect(epoll.wait(0)).toBe(0);
  const began = performance.now();
  expect(epoll.wait(30)).toBe(0);
  expect(performance.now() - began).toBeGreaterThan(25);
  addToEventFd(counters[1], 3);
  addToEventFd(counters[1], 4);
  for (let round = 0; round < 2; round++) {
    expect(epoll.wait(-1)).toBe(1);
    expect(epoll.token(0)).toBe(0xffff_fff1);
    expect(epoll.events(0)).toBe(EPOLLIN);
  }
  expect(takeFromEventFd(counters[1])).toBe(7);
  expect(takeFromEventFd(counters[1])).toBe(0);
  expect(epoll.wait(0)).toBe(0);
  // Where more are ready than are reported at once, each has its turn.
  for (const fd of counters) addToEventFd(fd, 1);
  const seen = new Set<number>();
  for (let round = 0; round < 3; round++)
    for (let count = epoll.wait(0); count > 0; count--) seen.add(epoll.token(count - 1));
  expect(seen.size).toBe(3);
  epoll.modify(counters[0], 0, 1);
  epoll.remove(counters[1]);
  expect(epoll.wait(0)).toBe(1);
  expect(epoll.token(0)).toBe(0xffff_fff2);
  for (const fd of counters) closeSync(fd);
  epoll.close();
  expect(() => epoll.add(0, EPOLLIN, 1)).toThrow("epoll_ctl");
});
