/** What commands are given: the engine, the configuration, the terminal; each made when it is first asked for. */
import { EngineClient } from "../client/client.ts";
import { type ConfigFile, defaultConfigDir, readConfigFile } from "../client/config-file.ts";
import { contextNameOf, type Endpoint, type EndpointFlags, hostOf, wantsTls } from "../client/host.ts";
import type { SyscallError } from "../kernel/libc.ts";
import { isTerminal, windowSize, writeAll } from "../kernel/terminal.ts";
import type { ParsedFlags } from "../lib/flags.ts";
import { type CliContext, StatusError } from "./command.ts";

const brokenPipeCode = 128 + 13;
const descriptors = { stdin: 0, stdout: 1, stderr: 2 };

/** Writes to stdout or stderr. Ends the process where the reader is gone, as SIGPIPE would. */
export function print(fd: 1 | 2, text: string | Uint8Array): void {
  try {
    writeAll(fd, typeof text === "string" ? Buffer.from(text) : text);
  } catch (error) {
    // A reader that had enough (`| head`) is no error, and a closed stderr leaves nobody to tell.
    if (fd === 1) process.exit((error as SyscallError).code === "EPIPE" ? brokenPipeCode : 1);
  }
}

/** The context of one call. */
export class Context implements CliContext {
  readonly debug: boolean;
  readonly contextName: string;
  readonly #engine: EngineClient | StatusError;

  private constructor(
    readonly program: string,
    readonly path: string,
    readonly configDir: string,
    readonly configFile: ConfigFile,
    contextName: string,
    engine: EngineClient | StatusError,
    debug: boolean,
  ) {
    this.contextName = contextName;
    this.#engine = engine;
    this.debug = debug;
  }

  /** `global` are the flags before the command. Throws where they contradict each other. */
  static async create(program: string, path: string, global: ParsedFlags): Promise<Context> {
    const configDir = global.string("config") || defaultConfigDir(process.env);
    const flags: EndpointFlags = {
      hosts: global.list("host"),
      context: global.string("context"),
      tls: global.bool("tls"),
      tlsVerify: global.bool("tlsverify"),
      tlsCaCert: global.string("tlscacert"),
      tlsCert: global.string("tlscert"),
      tlsKey: global.string("tlskey"),
    };
    if (flags.hosts.length > 0 && flags.context !== "") {
      throw new Error("conflicting options: cannot specify both --host and --context");
    }
    const configFile = await readConfigFile(configDir, (line) => print(2, `${line}\n`));
    const contextName = contextNameOf(flags, process.env, configFile);
    let engine: EngineClient | StatusError;
    try {
      const { env } = process;
      const isPlain = contextName === "default" && !wantsTls(flags, env);
      const endpoint = isPlain
        ? hostOf(flags, env, undefined)
        : (await import("../client/endpoint.ts")).resolveEndpoint(flags, env, configDir, configFile);
      engine = engineAt(endpoint, configFile);
    } catch (error) {
      const reason = `unable to resolve docker endpoint: ${(error as Error).message}`;
      engine = new StatusError(`Failed to initialize: ${reason}`, 1);
    }
    return new Context(program, path, configDir, configFile, contextName, engine, global.bool("debug"));
  }

  /** Throws where no engine could be chosen: only commands that need one care. */
  get engine(): EngineClient {
    if (this.#engine instanceof StatusError) throw this.#engine;
    return this.#engine;
  }

  out(text: string | Uint8Array): void {
    print(1, text);
  }

  err(text: string): void {
    print(2, text);
  }

  isTerminal(stream: "stdin" | "stdout" | "stderr"): boolean {
    return isTerminal(descriptors[stream]);
  }

  columns(): number | undefined {
    return windowSize(1)?.columns || undefined;
  }

  async confirm(question: string): Promise<boolean> {
    const { readLine } = await import("./ask.ts");
    const line = await readLine(this, `${question} [y/N] `);
    return line.trim().toLowerCase() === "y";
  }
}

function engineAt(endpoint: Endpoint, configFile: ConfigFile): EngineClient {
  const { address } = endpoint;
  return new EngineClient({
    endpoint,
    headers: configFile.HttpHeaders ?? {},
    ...(process.env.DOCKER_API_VERSION ? { apiVersion: process.env.DOCKER_API_VERSION } : {}),
    ...("unix" in address
      ? {
          startEngine: async () => {
            const { startDaemon } = await import("../client/autostart.ts");
            return startDaemon(address.unix, (line) => print(2, `${line}\n`));
          },
        }
      : {}),
  });
}
