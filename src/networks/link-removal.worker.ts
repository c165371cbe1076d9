/** Removes links, which takes the kernel tens of milliseconds each: see link-removal.ts. */
import { Netlink } from "../kernel/rtnetlink.ts";
import { messageOf } from "../lib/errors.ts";

declare const self: Worker;

/** To the worker: the index of a link. Back: the same, and what went wrong. */
export interface Removal {
  index: number;
  trouble?: string;
}

const netlink = new Netlink();

self.onmessage = ({ data: { index } }: MessageEvent<Removal>) => {
  try {
    netlink.deleteLinkAt(index);
    self.postMessage({ index } satisfies Removal);
  } catch (error) {
    self.postMessage({ index, trouble: messageOf(error) } satisfies Removal);
  }
};
