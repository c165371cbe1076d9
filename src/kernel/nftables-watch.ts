/** Being told when the packet filter's ruleset changes. */
import { ptr } from "bun:ffi";
import { closeSync } from "node:fs";
import { adoptSocket } from "./fd-socket.ts";
import { bindLibc, check } from "./libc.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const NETLINK_NETFILTER = 12;
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const SOL_NETLINK = 270;
const NETLINK_NO_ENOBUFS = 5;
const NFNLGRP_NFTABLES = 7;
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_NEWGEN = 15;

const BPF_LD_H_ABS = 0x28;
const BPF_JEQ_K = 0x15;
const BPF_RET_K = 0x06;
const typeOffset = 4;

const libc = bindLibc({
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
});

/**
 * Calls `changed` after every transaction of anybody, Brig itself included, in the network namespace this is called in.
 * The kernel tells of each object that a transaction touches; a filter on the socket lets nothing through but the one
 * message that ends it, so that thousands of rules of others cost one short message. Returns what ends it.
 */
export function watchRuleset(changed: () => void, lost: (reason: string) => void): () => void {
  const fd = check(
    libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER),
    "socket",
    "AF_NETLINK",
  );
  try {
    const code = filterFor((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWGEN);
    const program = Buffer.alloc(16);
    program.writeUInt16LE(code.length / 8);
    program.writeBigUInt64LE(BigInt(ptr(code)), 8);
    check(libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, 16), "setsockopt", "SO_ATTACH_FILTER");
    // Where messages are lost those before them have woken us up already.
    check(libc.setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, Buffer.of(1, 0, 0, 0), 4), "setsockopt", "NO_ENOBUFS");
    const address = Buffer.alloc(12);
    address.writeUInt16LE(AF_NETLINK);
    address.writeUInt32LE(1 << (NFNLGRP_NFTABLES - 1), 8);
    check(libc.bind(fd, address, address.length), "bind", "NFNLGRP_NFTABLES");
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  let ended = false;
  const end = (reason: string) => {
    if (!ended) lost(reason);
    ended = true;
  };
  const adopted = adoptSocket(fd, {
    data: () => {
      if (!ended) changed();
    },
    close: () => end("the socket was closed"),
    error: (_socket, error) => end(error.message),
  });
  adopted.then(
    (socket) => socket.unref(),
    (error) => end(error.message),
  );
  return () => {
    ended = true;
    adopted.then(
      (socket) => socket.terminate(),
      () => {},
    );
  };
}

/** A program of classic BPF that lets through messages of one type. It reads in network order, netlink is in the host's. */
function filterFor(type: number): Buffer {
  const swapped = ((type & 0xff) << 8) | (type >> 8);
  const instructions: [code: number, jumpTrue: number, jumpFalse: number, k: number][] = [
    [BPF_LD_H_ABS, 0, 0, typeOffset],
    [BPF_JEQ_K, 0, 1, swapped],
    [BPF_RET_K, 0, 0, 0xffffffff],
    [BPF_RET_K, 0, 0, 0],
  ];
  const code = Buffer.alloc(instructions.length * 8);
  for (const [index, [operation, jumpTrue, jumpFalse, k]] of instructions.entries()) {
    code.writeUInt16LE(operation, index * 8);
    code.writeUInt8(jumpTrue, index * 8 + 2);
    code.writeUInt8(jumpFalse, index * 8 + 3);
    code.writeUInt32LE(k, index * 8 + 4);
  }
  return code;
}
