import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { certificatesFor } from "./certificates.ts";
import { send } from "./http.ts";

const root = mkdtempSync(join(tmpdir(), "brig-certs-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function directory(name: string, files: Record<string, string>): string {
  const host = join(root, name, "r.example:5000");
  mkdirSync(host, { recursive: true });
  for (const [file, content] of Object.entries(files)) writeFileSync(join(host, file), content);
  return join(root, name);
}
const read = (...roots: string[]) => certificatesFor("r.example:5000", roots);

test("authorities and pairs, from the first directory that has the host", () => {
  const own = directory("own", { "ca.crt": "CA", "client.cert": "C", "client.key": "K", "notes.txt": "" });
  const docker = directory("docker", { "other.crt": "D" });
  expect(read(own, docker)).toEqual({ authorities: ["CA"], clients: [{ certificate: "C", key: "K" }] });
  expect(read(join(root, "none"), docker)?.authorities).toEqual(["D"]);
  expect(read(join(root, "none"))).toBeUndefined();
});

test("half a pair is refused in Docker's words", () => {
  expect(() => read(directory("nokey", { "client.cert": "C" }))).toThrow(
    "missing key client.key for client certificate client.cert. CA certificates must use the extension .crt",
  );
  expect(() => read(directory("nocert", { "client.key": "K" }))).toThrow(
    "missing client certificate client.cert for key client.key",
  );
});

test("open the way to a server that asks for one and is signed by its own authority", async () => {
  const script = `cd ${root}; openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=ca -days 2
for n in server client; do openssl req -newkey rsa:2048 -nodes -keyout $n.key -out $n.csr -subj /CN=$n
echo subjectAltName=DNS:localhost >$n.ext; openssl x509 -req -in $n.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile $n.ext -out $n.crt; done`;
  expect(Bun.spawnSync(["sh", "-c", script], { stderr: "ignore" }).exitCode).toBe(0);
  const pem = (name: string) => readFileSync(join(root, name), "utf8");
  const server = createServer(
    { cert: pem("server.crt"), key: pem("server.key"), ca: pem("ca.crt"), requestCert: true, rejectUnauthorized: true },
    (_, response) => response.end("in"),
  ).listen(0, "127.0.0.1");
  try {
    const url = `https://localhost:${(server.address() as AddressInfo).port}/`;
    const get = (certificates?: ReturnType<typeof read>) =>
      send({ url, verify: true, certificates, signal: undefined }).then((response) => response.text());
    const clients = [{ certificate: pem("client.crt"), key: pem("client.key") }];
    expect(await get({ authorities: [pem("ca.crt")], clients })).toBe("in");
    await expect(get()).rejects.toThrow(
      `Get "${url}": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
    );
    await expect(get({ authorities: [pem("ca.crt")], clients: [] })).rejects.toThrow("remote error: tls");
  } finally {
    server.close();
  }
});
