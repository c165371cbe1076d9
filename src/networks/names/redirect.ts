/**
 * Port 53 of 127.0.0.11 stays free for the container's own servers: the packet filter of its namespace renames the
 * ports on the way there and back. Neither connection tracking nor address translation takes part, so that a look-up
 * leaves no trace that could fill a table.
 *
 * The rules are sent as a netlink message (linux/netfilter/nf_tables.h) instead of as text.
 */
import { SyscallError } from "../../kernel/libc.ts";
import { insideNetworkNamespace } from "../../kernel/namespaces.ts";
import { type Attribute, NetlinkSocket, type Request, text } from "../../kernel/netlink.ts";

/** The server's address in every namespace, as Docker has it. */
export const nameServerAddress = "127.0.0.11";

const addressBytes = Buffer.of(127, 0, 0, 11);
const namePort = 53;
const tableName = "brig_names";
const chainName = "output";
/** The kernel gives loopback this index in every namespace. */
const loopbackIndex = 1;

const NETLINK_NETFILTER = 12;
const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;
const NLM_F_APPEND = 0x800;
const NFPROTO_IPV4 = 2;
const message = { newTable: 0, delTable: 2, newChain: 3, newRule: 6 };
const NFTA_TABLE_NAME = 1;
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_CHAIN_TYPE = 7;
const NFTA_HOOK_HOOKNUM = 1;
const NFTA_HOOK_PRIORITY = 2;
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_EXPRESSIONS = 4;
const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NF_INET_LOCAL_OUT = 3;
const NF_IP_PRI_RAW = -300;
const NF_ACCEPT = 1;
const register = { verdict: 0, first: 1 };
const meta = { oif: 5, l4proto: 16 };
const compare = { equal: 0, unequal: 1 };
const base = { network: 1, transport: 2 };
const protocols = { udp: { number: 17, checksum: 6 }, tcp: { number: 6, checksum: 16 } };
const sourceAddress = 12;
const destinationAddress = 16;
const sourcePort = 0;
const destinationPort = 2;

/**
 * Leads queries to the server's ports: 0.15 ms. May be repeated: what was there is replaced, which takes the kernel some
 * 15 ms more. Throws SyscallError.
 */
export function redirectNames(namespaceFd: number, ports: { udpPort: number; tcpPort: number }): void {
  insideNetworkNamespace(namespaceFd, () => {
    const netlink = new NetlinkSocket(NETLINK_NETFILTER);
    // Older kernels acknowledge everything but a transaction's end.
    const run = (batch: Request[]) => netlink.transact(batch, batch.length - 2);
    try {
      run(batchFor(ports, false));
    } catch (error) {
      if (!(error instanceof SyscallError && error.code === "EEXIST")) throw error;
      run(batchFor(ports, true));
    } finally {
      netlink.close();
    }
  });
}

/** One transaction. */
function batchFor({ udpPort, tcpPort }: { udpPort: number; tcpPort: number }, replaces: boolean): Request[] {
  const table: Attribute[] = [[NFTA_TABLE_NAME, text(tableName)]];
  return [
    batchMark(NFNL_MSG_BATCH_BEGIN),
    ...(replaces ? [request(message.delTable, table)] : []),
    request(message.newTable, table, NLM_F_CREATE | NLM_F_EXCL),
    request(
      message.newChain,
      [
        [NFTA_CHAIN_TABLE, text(tableName)],
        [NFTA_CHAIN_NAME, text(chainName)],
        [
          NFTA_CHAIN_HOOK,
          [
            [NFTA_HOOK_HOOKNUM, be32(NF_INET_LOCAL_OUT)],
            [NFTA_HOOK_PRIORITY, be32(NF_IP_PRI_RAW)],
          ],
        ],
        [NFTA_CHAIN_TYPE, text("filter")],
      ],
      NLM_F_CREATE,
    ),
    rule([...metaIs(meta.oif, loopbackIndex, compare.unequal), accept()]),
    rename("udp", destinationAddress, destinationPort, namePort, udpPort),
    rename("udp", sourceAddress, sourcePort, udpPort, namePort),
    rename("tcp", destinationAddress, destinationPort, namePort, tcpPort),
    rename("tcp", sourceAddress, sourcePort, tcpPort, namePort),
    batchMark(NFNL_MSG_BATCH_END),
  ];
}

/** `ip saddr|daddr 127.0.0.11 udp|tcp sport|dport FROM notrack udp|tcp sport|dport set TO accept`. */
function rename(
  protocol: keyof typeof protocols,
  addressAt: number,
  portAt: number,
  from: number,
  to: number,
): Request {
  const { number, checksum } = protocols[protocol];
  return rule([
    load(base.network, addressAt, 4),
    is(addressBytes),
    ...metaIs(meta.l4proto, number),
    load(base.transport, portAt, 2),
    is(be16(from)),
    ["notrack", []],
    [
      "immediate",
      [
        [1, be32(register.first)],
        [2, [[NFTA_DATA_VALUE, be16(to)]]],
      ],
    ],
    [
      "payload",
      [
        [5, be32(register.first)],
        [2, be32(base.transport)],
        [3, be32(portAt)],
        [4, be32(2)],
        [6, be32(1)],
        [7, be32(checksum)],
      ],
    ],
    accept(),
  ]);
}

type Expression = [name: string, attributes: Attribute[]];

function load(from: number, offset: number, length: number): Expression {
  return [
    "payload",
    [
      [1, be32(register.first)],
      [2, be32(from)],
      [3, be32(offset)],
      [4, be32(length)],
    ],
  ];
}

function is(value: Buffer, operation = compare.equal): Expression {
  return [
    "cmp",
    [
      [1, be32(register.first)],
      [2, be32(operation)],
      [3, [[NFTA_DATA_VALUE, value]]],
    ],
  ];
}

/** What the kernel knows of a packet beside its bytes is in the machine's own order. */
function metaIs(key: number, value: number, operation = compare.equal): Expression[] {
  const bytes = Buffer.alloc(key === meta.l4proto ? 1 : 4);
  bytes.writeUInt8(value);
  return [
    [
      "meta",
      [
        [2, be32(key)],
        [1, be32(register.first)],
      ],
    ],
    is(bytes, operation),
  ];
}

function accept(): Expression {
  return [
    "immediate",
    [
      [1, be32(register.verdict)],
      [2, [[NFTA_DATA_VERDICT, [[NFTA_VERDICT_CODE, be32(NF_ACCEPT)]]]]],
    ],
  ];
}

function rule(expressions: Expression[]): Request {
  return request(
    message.newRule,
    [
      [NFTA_RULE_TABLE, text(tableName)],
      [NFTA_RULE_CHAIN, text(chainName)],
      [
        NFTA_RULE_EXPRESSIONS,
        expressions.map(([name, attributes]) => [
          NFTA_LIST_ELEM,
          [
            [NFTA_EXPR_NAME, text(name)],
            [NFTA_EXPR_DATA, attributes],
          ],
        ]),
      ],
    ],
    NLM_F_CREATE | NLM_F_APPEND,
  );
}

function request(type: number, attributes: Attribute[], flags = 0): Request {
  const header = Buffer.of(NFPROTO_IPV4, 0, 0, 0);
  return { type: (NFNL_SUBSYS_NFTABLES << 8) | type, flags, header, attributes, subject: `rules of ${tableName}` };
}

function batchMark(type: number): Request {
  return { type, header: Buffer.of(0, 0, 0, NFNL_SUBSYS_NFTABLES), subject: `rules of ${tableName}` };
}

function be16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function be32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}
