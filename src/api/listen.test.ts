import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fakeRooms, RawClient, until } from "./fixture.ts";
import { listen } from "./listen.ts";
import { Api } from "./server.ts";

const quiet = { info: () => {}, warn: () => {} };

/** A directory with a certificate authority and certificates for a server and a client. */
function certificates(dir: string): void {
  const script = `set -e; cd ${dir}
openssl ecparam -name prime256v1 -genkey -noout -out ca-key.pem
openssl req -x509 -new -key ca-key.pem -subj /CN=ca -days 2 -out ca.pem
for who in server client; do
  openssl ecparam -name prime256v1 -genkey -noout -out $who-key.pem
  openssl req -new -key $who-key.pem -subj /CN=$who -out $who.csr
  printf 'subjectAltName=IP:127.0.0.1\\n' > $who.ext
  openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile $who.ext -out $who.pem
done`;
  const made = Bun.spawnSync(["sh", "-c", script], { stderr: "pipe" });
  if (made.exitCode !== 0) throw new Error(made.stderr.toString());
}

function ask(url: string, options: object): Promise<string> {
  return new Promise((resolve, reject) => {
    get(`${url}/_ping`, { agent: false, ...options }, (response) => {
      response.on("data", (data: Buffer) => resolve(data.toString()));
      response.on("error", reject);
    }).on("error", reject);
  });
}

test("TLS asks clients for a certificate where it is to verify them", async () => {
  const dir = mkdtempSync(join(tmpdir(), "brig-tls-"));
  try {
    certificates(dir);
    const file = (name: string) => join(dir, name);
    const read = async (name: string) => Buffer.from(await Bun.file(file(name)).arrayBuffer());
    const listening = await listen(new Api(fakeRooms({})), ["tcp://127.0.0.1:0"], {
      group: "",
      runRoot: "/run/brig-test",
      tls: { certFile: file("server.pem"), keyFile: file("server-key.pem"), caFile: file("ca.pem"), verify: true },
      log: quiet,
    });
    const url = listening.hosts[0]!.replace("tcp:", "https:");
    const ca = await read("ca.pem");
    const own = { cert: await read("client.pem"), key: await read("client-key.pem") };
    expect(await ask(url, { ca, ...own })).toBe("OK");
    await expect(ask(url, { ca })).rejects.toThrow();
    await listening.close();
    await expect(
      listen(new Api(fakeRooms({})), ["tcp://127.0.0.1:0"], {
        group: "",
        runRoot: "/run/brig-test",
        tls: { certFile: file("none.pem"), keyFile: file("server-key.pem"), verify: false },
        log: quiet,
      }),
    ).rejects.toThrow("could not read TLS files");
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("a socket that was handed over by number", async () => {
  const dir = mkdtempSync(join(tmpdir(), "brig-fd-"));
  const path = join(dir, "api.sock");
  mkdirSync(dir, { recursive: true });
  const program = join(dir, "daemon.ts");
  const here = import.meta.dir;
  writeFileSync(
    program,
    `import { fakeRooms, FakeAttachment } from "${here}/fixture.ts";
import { listen } from "${here}/listen.ts";
import { Api } from "${here}/server.ts";
const attachment = new FakeAttachment(true);
attachment.write = async (data) => attachment.say(data);
attachment.closeStdin = () => attachment.exit();
process.env.LISTEN_PID = String(process.pid);
process.env.LISTEN_FDS = "1";
await listen(new Api(fakeRooms({ containers: { attach: async () => attachment } })), ["fd://"], {
  group: "", runRoot: ${JSON.stringify(dir)}, log: { info: () => {}, warn: () => {} } });
`,
  );
  const starter = `import socket,os
s=socket.socket(socket.AF_UNIX); s.bind("${path}"); s.listen(5)
os.dup2(s.fileno(),3); os.set_inheritable(3,True)
os.execv("${process.execPath}",["bun","${program}"])`;
  const daemon = Bun.spawn(["python3", "-c", starter], { stderr: "inherit" });
  try {
    await until(() => Bun.spawnSync(["test", "-S", path]).exitCode === 0, "the socket");
    const answer = await fetch("http://x/_ping", { unix: path } as RequestInit);
    expect(await answer.text()).toBe("OK");
    const client = await RawClient.open(
      path,
      "POST /containers/c/attach?stream=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}echo",
    );
    await until(() => client.text.endsWith("echo"), "the echo");
    client.socket.end();
    await until(() => client.ended, "the end");
  } finally {
    daemon.kill();
    await daemon.exited;
    rmSync(dir, { recursive: true });
  }
});

test("hosts that cannot be", async () => {
  const api = new Api(fakeRooms({}));
  const refused = (host: string) =>
    expect(listen(api, [host], { group: "", runRoot: "/run/brig-test", log: quiet })).rejects.toThrow();
  await refused("tcp://127.0.0.1:99999");
  await refused("tcp://a:b:c");
  await refused("fd://");
  await refused("npipe://x");
  await expect(
    listen(api, ["unix:///tmp/brig-x.sock"], { group: "no-such-group-here", runRoot: "/run/brig-test", log: quiet }),
  ).rejects.toThrow("group no-such-group-here not found");
});
