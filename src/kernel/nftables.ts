/** The packet filter, through libnftables (libnftables(3)) for changes and a bare netlink message for its generation. */
import { CString, dlopen, type Pointer } from "bun:ffi";
import { systemError, unavailable } from "../lib/errors.ts";
import { cstring } from "./libc.ts";
import { NetlinkSocket, readAttributes, readText, text } from "./netlink.ts";

const libraryName = "libnftables.so.1";
const NFT_CTX_DEFAULT = 0;
const NFT_CTX_OUTPUT_HANDLE = 1 << 3;
const NFT_CTX_OUTPUT_JSON = 1 << 4;

const NETLINK_NETFILTER = 12;
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_GETGEN = 16;
const NFT_MSG_GETRULE = 7;
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_HANDLE = 3;
const families = { inet: 1, ip: 2, ip6: 10 };
const nfgenmsgBytes = 4;

function bindLibrary() {
  try {
    return dlopen(libraryName, {
      nft_ctx_new: { args: ["u32"], returns: "ptr" },
      nft_ctx_free: { args: ["ptr"], returns: "void" },
      nft_ctx_buffer_output: { args: ["ptr"], returns: "i32" },
      nft_ctx_buffer_error: { args: ["ptr"], returns: "i32" },
      nft_ctx_get_output_buffer: { args: ["ptr"], returns: "ptr" },
      nft_ctx_get_error_buffer: { args: ["ptr"], returns: "ptr" },
      nft_ctx_output_set_flags: { args: ["ptr", "u32"], returns: "void" },
      nft_run_cmd_from_buffer: { args: ["ptr", "ptr"], returns: "i32" },
    }).symbols;
  } catch (error) {
    throw unavailable(
      `${libraryName} is missing (${error instanceof Error ? error.message : error}): install Debian's package libnftables1, or start the daemon with --bridge none`,
    );
  }
}

let library: ReturnType<typeof bindLibrary> | undefined;

/**
 * The packet filter of the network namespace this was created in.
 * What is put into commands must have been validated: nft's language has no quoting that could be relied upon.
 */
export class Nftables {
  readonly #library: ReturnType<typeof bindLibrary>;
  readonly #context: Pointer;
  readonly #netlink: NetlinkSocket;
  #knownGeneration = -1;

  /** Throws `unavailable`, naming the Debian package, where the library is missing. */
  constructor() {
    library ??= bindLibrary();
    this.#library = library;
    const context = library.nft_ctx_new(NFT_CTX_DEFAULT) as Pointer | null;
    if (context === null) throw systemError("nftables: cannot create a context");
    this.#context = context;
    library.nft_ctx_buffer_output(context);
    library.nft_ctx_buffer_error(context);
    this.#netlink = new NetlinkSocket(NETLINK_NETFILTER);
  }

  /** Runs commands in nft's language as one transaction and returns what they print. Throws nft's own message. */
  run(commands: string): string {
    const before = this.generation();
    const output = this.#run(commands, 0);
    // Where others came between, the generation that is known stays behind, and changedByOthers() tells.
    const after = this.generation();
    if (before === this.#knownGeneration && after === before + 1) this.#knownGeneration = after;
    return output;
  }

  /** Whether anybody but `run` has changed the ruleset since this was asked last. Takes microseconds. */
  changedByOthers(): boolean {
    const generation = this.generation();
    const changed = generation !== this.#knownGeneration;
    this.#knownGeneration = generation;
    return changed;
  }

  /** Runs a `list` command and returns the objects of its JSON output (libnftables-json(5)), with handles. */
  list(command: string): Record<string, unknown>[] {
    const { nftables } = JSON.parse(this.#run(command, NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_HANDLE)) as {
      nftables?: Record<string, unknown>[];
    };
    return nftables ?? [];
  }

  /** Number of the ruleset's present generation: every transaction of anybody in this namespace adds one. */
  generation(): number {
    const [answer] = this.#netlink.transact([
      {
        type: (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN,
        header: Buffer.alloc(nfgenmsgBytes),
        subject: "ruleset generation",
      },
    ]);
    // nfgenmsg, then NFTA_GEN_ID, which is the first attribute and in network order.
    if (answer === undefined || answer.body.length < nfgenmsgBytes + 8)
      throw systemError("nftables: the kernel does not tell its ruleset's generation");
    return answer.body.readUInt32BE(nfgenmsgBytes + 4);
  }

  /** Which rules a table has, as one text: another one where any was removed, added or replaced. */
  ruleHandles(family: keyof typeof families, table: string): string {
    const handles = this.#netlink.dump(
      {
        type: (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETRULE,
        header: Buffer.of(families[family], 0, 0, 0),
        attributes: [[NFTA_RULE_TABLE, text(table)]],
        subject: `rules of ${table}`,
      },
      ({ body }) => {
        let handle: bigint | undefined;
        let owner = "";
        readAttributes(body.subarray(nfgenmsgBytes), (type, value) => {
          if (type === NFTA_RULE_TABLE) owner = readText(value);
          if (type === NFTA_RULE_HANDLE) handle = value.readBigUInt64BE(0);
        });
        return owner === table ? handle : undefined;
      },
    );
    return handles.join();
  }

  close(): void {
    this.#library.nft_ctx_free(this.#context);
    this.#netlink.close();
  }

  #run(commands: string, flags: number): string {
    this.#library.nft_ctx_output_set_flags(this.#context, flags);
    const result = this.#library.nft_run_cmd_from_buffer(this.#context, cstring(commands));
    const output = bufferText(this.#library.nft_ctx_get_output_buffer(this.#context) as Pointer | null);
    const problem = bufferText(this.#library.nft_ctx_get_error_buffer(this.#context) as Pointer | null);
    if (result !== 0) throw systemError(`nftables: ${problem.trim().slice(0, 2000) || "unknown error"}`);
    return output;
  }
}

function bufferText(pointer: Pointer | null): string {
  return pointer === null ? "" : new CString(pointer).toString();
}
