/** What the daemon and the name servers' thread say to each other. */
import type { View } from "./name-server.ts";
import type { EndpointNames } from "./zones.ts";

export type ToThread =
  | { kind: "begin"; wakeFd: number }
  | { kind: "endpoint"; networkId: string; endpointId: string; names: EndpointNames | undefined }
  | { kind: "serve"; key: string; udpFd: number; tcpFd: number; view: View }
  | { kind: "view"; key: string; view: View }
  | { kind: "stop"; key: string }
  | { kind: "end" };

export type FromThread = { kind: "trouble"; message: string } | { kind: "ended" };
