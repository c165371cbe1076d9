/**
 * The name servers' thread. It waits in epoll_wait(2) instead of in Bun's loop, and goes back there only to take messages:
 * an eventfd counts them.
 */
import { EPOLLIN, takeFromEventFd } from "../../kernel/epoll.ts";
import { setThreadNice } from "../../kernel/process.ts";
import { Loop } from "./loop.ts";
import { NameServer, ServerTools } from "./name-server.ts";
import type { FromThread, ToThread } from "./thread.ts";
import { Zones } from "./zones.ts";

declare const self: Worker;

/** Its work is short, and others wait for it: on a busy machine it goes first. */
const niceness = -10;

const loop = new Loop(report);
const zones = new Zones();
const tools = new ServerTools(loop, zones);
const servers = new Map<string, NameServer>();
let announced = 0;
let taken = 0;
let ended = false;

self.onmessage = ({ data }: MessageEvent<ToThread>) => {
  taken++;
  try {
    take(data);
  } catch (error) {
    report(error);
  }
};

function take(message: ToThread): void {
  switch (message.kind) {
    case "begin": {
      const { wakeFd } = message;
      setThreadNice(niceness);
      loop.watch(wakeFd, EPOLLIN, () => {
        announced += takeFromEventFd(wakeFd);
      });
      setImmediate(run);
      return;
    }
    case "endpoint":
      if (message.names === undefined) zones.remove(message.networkId, message.endpointId);
      else zones.set(message.networkId, message.endpointId, message.names);
      return;
    case "serve":
      servers.get(message.key)?.close();
      servers.set(message.key, new NameServer(tools, message, message.view));
      return;
    case "view": {
      const server = servers.get(message.key);
      if (server !== undefined) server.view = message.view;
      return;
    }
    case "stop":
      servers.get(message.key)?.close();
      servers.delete(message.key);
      return;
    case "end":
      for (const server of servers.values()) server.close();
      loop.close();
      ended = true;
      tell({ kind: "ended" });
  }
}

function run(): void {
  while (!ended) {
    loop.turn(taken >= announced);
    if (taken < announced) {
      // Bun's own loop hands the message over; queries are answered meanwhile.
      setImmediate(run);
      return;
    }
  }
}

function report(error: unknown): void {
  tell({ kind: "trouble", message: error instanceof Error ? error.message : String(error) });
}

function tell(message: FromThread): void {
  self.postMessage(message);
}
