/** The bare connection of a request that asked for no upgrade, but whose client goes on to send input after it. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";

/** What Bun 1.4 does itself for requests that are upgraded, and offers for no other. */
interface NativeConnection {
  response: unknown;
  upgradeToTunnel(hasBody: boolean, response: unknown): void;
}

/** Bun's own symbol of that description. */
function symbolOf(owner: object, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(owner).find((symbol) => symbol.description === description);
}

/**
 * From the end of the request's body on, what comes is read from its socket as it is, and no longer as HTTP. False
 * where this Bun cannot do that: the client's input is then never heard.
 */
export function tunnelAfterBody(request: IncomingMessage): boolean {
  const socket = request.socket as Socket & Record<symbol, unknown>;
  const handleKey = symbolOf(socket, "handle");
  const streamKey = symbolOf(Object.getPrototypeOf(socket), "kEnableStreaming");
  if (handleKey === undefined || streamKey === undefined) return false;
  const connection = socket[handleKey] as NativeConnection | undefined;
  if (typeof connection?.upgradeToTunnel !== "function") return false;
  const begin = () => {
    if (socket.destroyed) return;
    connection.upgradeToTunnel(false, connection.response);
    (socket[streamKey] as (enable: boolean) => void).call(socket, true);
  };
  if (request.complete) begin();
  else {
    request.once("end", begin);
    request.resume();
  }
  return true;
}
