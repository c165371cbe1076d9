/** A connected socket's fd on the event loop, whatever kind of socket it is. */

/** What happens on the socket; the first argument tells which it was. */
export type FdSocketHandlers = Bun.SocketHandler<undefined>;

/**
 * Hands the fd to the event loop, which owns it from then on. One recv(2) is made for each `data` event, so that on a
 * SOCK_SEQPACKET socket an event is a packet (`Bun.file(fd).stream()` joins packets under load). `write` makes one
 * send(2): a packet goes whole or, where the return value is not its length, not at all, and `drain` says when to retry.
 */
export function adoptSocket(fd: number, handlers: FdSocketHandlers): Promise<Bun.Socket> {
  // bun-types declares FdSocketOptions but no overload of connect that takes it.
  const options: Bun.FdSocketOptions = { fd, allowHalfOpen: true, socket: handlers };
  return Bun.connect(options as unknown as Bun.UnixSocketOptions);
}
