import { expect, test } from "bun:test";
import { compileTemplate } from "../../lib/template.ts";
import { containerRow, portsText } from "./container-row.ts";

test("ports that follow each other are one range, mapped ones stand at the end", () => {
  const tcp = (IP: string, PrivatePort: number, PublicPort: number) => ({
    IP,
    PrivatePort,
    PublicPort,
    Type: "tcp" as const,
  });
  expect(
    portsText([
      tcp("0.0.0.0", 8083, 8083),
      tcp("::", 8083, 8083),
      tcp("0.0.0.0", 8082, 8082),
      tcp("::", 8082, 8082),
      tcp("0.0.0.0", 80, 8081),
      { PrivatePort: 53, PublicPort: 53, IP: "127.0.0.1", Type: "udp" },
      { PrivatePort: 9000, Type: "tcp" },
      { PrivatePort: 9001, Type: "tcp" },
      { PrivatePort: 9003, Type: "tcp" },
    ]),
  ).toBe(
    "9000-9001/tcp, 127.0.0.1:53->53/udp, 0.0.0.0:8082-8083->8082-8083/tcp, [::]:8082-8083->8082-8083/tcp, " +
      "9003/tcp, 0.0.0.0:8081->80/tcp",
  );
});

test("commands are cut and quoted, names of links left out", () => {
  const row = containerRow(
    {
      Id: "8c24299abd2781ec7b75cf4093791d5700fa66ac335e091b7d4a4a3efb503f8b",
      Names: ["/web/db", "/db"],
      Command: "sh -c 'echo <hi> & \"x\" > /dev/null'",
      Image: "sha256:6c1a098ba201680fa86f03a390c75000688f86d0f3648b1e8a6d95a9f9de0f36",
      ImageID: "sha256:6c1a098ba201680fa86f03a390c75000688f86d0f3648b1e8a6d95a9f9de0f36",
      SizeRw: 12,
      SizeRootFs: 1_985_702,
    },
    true,
    0,
  );
  const template = compileTemplate("{{.ID}} {{.Names}} {{.Command}} {{.Image}} {{.Size}} {{.Platform}}");
  expect(template.execute(row)).toBe('8c24299abd27 db "sh -c \'echo <hi> & …" 6c1a098ba201 12B (virtual 1.99MB) <nil>');
});
