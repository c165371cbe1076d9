/** Connections the packet filter remembers: nfnetlink_conntrack.h. */
import { type Attribute, NetlinkSocket, readAttributes, u8, u32 } from "./netlink.ts";

const NETLINK_NETFILTER = 12;
const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;
const AF_INET = 2;
const IPPROTO_UDP = 17;

const CTA_TUPLE_ORIG = 1;
const CTA_ID = 12;
const CTA_FILTER = 25;
const CTA_TUPLE_PROTO = 2;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_DST_PORT = 3;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_F_PROTO_NUM = 1 << 3;
const CTA_FILTER_F_PROTO_DST_PORT = 1 << 5;

const header = Buffer.of(AF_INET, 0, 0, 0);

/**
 * Forgets all IPv4 UDP flows to a port. A flow keeps the translation it began with for as long as its client goes on
 * sending: without this a client never learns that the port leads to another container now.
 * Returns how many there were. Throws SyscallError; the kernel filters by port since 5.8.
 */
export function forgetUdpFlows(port: number): number {
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  try {
    const bigEndianPort = Buffer.of(port >> 8, port & 255);
    const wanted: Attribute[] = [
      [
        CTA_TUPLE_ORIG,
        [
          [
            CTA_TUPLE_PROTO,
            [
              [CTA_PROTO_NUM, u8(IPPROTO_UDP)],
              [CTA_PROTO_DST_PORT, bigEndianPort],
            ],
          ],
        ],
      ],
      [CTA_FILTER, [[CTA_FILTER_ORIG_FLAGS, u32(CTA_FILTER_F_PROTO_NUM | CTA_FILTER_F_PROTO_DST_PORT)]]],
    ];
    const subject = `flows to udp port ${port}`;
    const flows = socket.dump(
      { type: (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET, header, attributes: wanted, subject },
      ({ body }) => {
        const key: Attribute[] = [];
        readAttributes(body.subarray(header.length), (type, value) => {
          if (type === CTA_TUPLE_ORIG || type === CTA_ID)
            key.push([type === CTA_ID ? type : nested(type), Buffer.from(value)]);
        });
        return key;
      },
    );
    for (const attributes of flows)
      try {
        socket.transact([{ type: (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE, header, attributes, subject }]);
      } catch (error) {
        if ((error as { code?: string }).code !== "ENOENT") throw error;
      }
    return flows.length;
  } finally {
    socket.close();
  }
}

/** The type of an attribute whose nested ones are passed on as the bytes they came in. */
function nested(type: number): number {
  return type | 0x8000;
}
