import { EngineError } from "../../client/client.ts";
import {
  credentialsFor,
  helperFor,
  type RegistryCredentials,
  registryKey,
  storeCredentials,
} from "../../client/credentials.ts";
import { readLine, readSecret } from "../ask.ts";
import { type CliContext, type Command, StatusError } from "../command.ts";
import { note } from "../note.ts";

interface LoginAnswer {
  Status: string;
  IdentityToken?: string;
}

export const command: Command = {
  usage: "[OPTIONS] [SERVER]",
  short: "Authenticate to a registry",
  long: "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
  args: { min: 0, max: 1 },
  flags: [
    { name: "password", short: "p", type: "string", usage: "Password or Personal Access Token (PAT)" },
    { name: "password-stdin", type: "bool", usage: "Take the Password or Personal Access Token (PAT) from stdin" },
    { name: "username", short: "u", type: "string", usage: "Username" },
  ],
  async run(ctx, flags) {
    let password = flags.string("password");
    let username = flags.string("username").trim();
    if (flags.has("username") && username === "") throw new StatusError("username is empty", 1);
    if (flags.has("password")) {
      if (flags.bool("password-stdin"))
        throw new StatusError("conflicting options: cannot specify both --password and --password-stdin", 1);
      ctx.err("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n");
      if (password === "") throw new StatusError("password is empty", 1);
    }
    if (flags.bool("password-stdin")) {
      if (username === "") throw new StatusError("the --password-stdin option requires --username to be set", 1);
      password = (await new Response(Bun.stdin.stream()).text()).replace(/[\r\n]+$/, "");
    }
    const key = registryKey(flags.args[0] ?? "docker.io");
    if (username === "" && password === "" && (await loginAgain(ctx, key))) return 0;
    if (username === "" || password === "") {
      if (!ctx.isTerminal("stdin"))
        throw new StatusError("Error: Cannot perform an interactive login from a non TTY device", 1);
      username ||= await askUsername(ctx);
      password ||= await readSecret(ctx, "Password: ");
      if (password === "") throw new StatusError("Error: Password Required", 1);
    }
    await login(ctx, key, { username, password });
    return 0;
  },
};

async function askUsername(ctx: CliContext): Promise<string> {
  const username = (await readLine(ctx, "Username: ")).trim();
  if (username === "") throw new StatusError("Error: Non-null Username Required", 1);
  return username;
}

/** Tries what is known already. False where that is nothing, or is refused. */
async function loginAgain(ctx: CliContext, key: string): Promise<boolean> {
  const known = await credentialsFor(ctx.configFile, key);
  if (known === undefined || (known.username === "" && !known.identitytoken)) return false;
  const who = known.username === "" ? "" : ` [Username: ${known.username}]`;
  ctx.err(`Authenticating with existing credentials...${who}\n`);
  const other = "To login with a different account, run 'docker logout' followed by 'docker login'";
  ctx.err(`${note(ctx.isTerminal("stderr"), [other])}\n\n`);
  try {
    await login(ctx, key, known);
    return true;
  } catch (thrown) {
    const isRefused = thrown instanceof EngineError && thrown.status === 401;
    if (isRefused) ctx.err("Stored credentials invalid or expired\n");
    else ctx.err(`Login did not succeed, error: ${(thrown as Error).message}\n`);
    return false;
  }
}

async function login(ctx: CliContext, key: string, credentials: RegistryCredentials): Promise<void> {
  const { username, password, identitytoken } = credentials;
  const answer = await ctx.engine.json<LoginAnswer>("POST", "/auth", {
    json: { username, password, ...(identitytoken ? { identitytoken } : {}), serveraddress: key },
  });
  const kept = answer.IdentityToken ? { username, password: "", identitytoken: answer.IdentityToken } : credentials;
  const isKnown =
    helperFor(ctx.configFile, key) === undefined && isSame(await credentialsFor(ctx.configFile, key), kept);
  if (!isKnown) {
    try {
      await storeCredentials(ctx.configDir, ctx.configFile, key, kept);
    } catch (thrown) {
      throw new StatusError(
        `Error saving credentials: error storing credentials - err: ${(thrown as Error).message}`,
        1,
      );
    }
    if (helperFor(ctx.configFile, key) === undefined) ctx.err(unencrypted(ctx.configDir));
  }
  ctx.out(`${answer.Status}\n`);
}

const isSame = (one: RegistryCredentials | undefined, other: RegistryCredentials) =>
  one?.username === other.username && one.password === other.password && one.identitytoken === other.identitytoken;

const unencrypted = (configDir: string) => `
WARNING! Your credentials are stored unencrypted in '${configDir}/config.json'.
Configure a credential helper to remove this warning. See
https://docs.docker.com/go/credential-store/

`;
