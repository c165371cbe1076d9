/** The hello-world image that Brig carries: a static program of a few hundred bytes, assembled here. */

import { type ConfigDocument, parseConfig } from "../distribution/documents.ts";
import { manifestFor, mediaTypes } from "../distribution/media-types.ts";
import { notFound } from "../lib/errors.ts";
import { canonicalString, type Reference, sha256Of } from "../lib/reference.ts";
import { formatPlatform, type Platform } from "./platform.ts";
import type { BlobRecord, ImageRecord } from "./record.ts";
import { register } from "./register.ts";
import type { ImageRooms } from "./rooms.ts";

const NAME = "docker.io/library/hello-world:latest";
const PROGRAM = "hello";
const CREATED = "2026-01-01T00:00:00Z";

const greeting = `Hello from Brig!
Your engine is installed and it runs containers. This is what happened:

 1. The brig command asked the engine for a container of the image hello-world.
 2. No registry could be reached, so the engine took the copy it carries inside.
 3. It unpacked the image, gave the container its own files, processes and network,
    and started the one program in it, which wrote these lines.
 4. They came back to you over the engine's socket.

Once you are online, try more:
 $ brig run -it debian bash

`;

/** Program headers of a 64-bit ELF file that is loaded whole, readable and executable (elf(5)). */
const LOAD_ADDRESS = 0x400000;
const HEADERS_BYTES = 64 + 56;
const machines = { amd64: 62, arm64: 183 } as const;

type EmbeddedArchitecture = keyof typeof machines;

/** Whether a reference means the image that Brig carries. */
export function isEmbedded(reference: Reference): boolean {
  return reference.digest === undefined && canonicalString(reference) === NAME;
}

/** Stores the embedded image under `reference`. Throws notFound for a platform that it does not exist for. */
export async function registerEmbedded(
  rooms: ImageRooms,
  reference: Reference,
  platform: Platform,
): Promise<ImageRecord> {
  const { os, architecture } = platform;
  if (os !== "linux" || !(architecture in machines))
    throw notFound(`no matching manifest for ${formatPlatform(platform)} in the manifest list entries`);
  const image = embeddedImage(architecture as EmbeddedArchitecture);
  const hold = rooms.garbage.hold();
  try {
    const [configBlob, layerBlob, manifestBlob] = [image.config, image.layer, image.manifest].map(blobOf);
    await hold.add(configBlob!.digest, layerBlob!.digest, manifestBlob!.digest);
    for (const bytes of [image.config, image.layer, image.manifest]) await rooms.content.write(bytes);
    await rooms.layers.unpack({ path: rooms.content.pathOf(layerBlob!.digest) }, { diffId: layerBlob!.digest });
    return register(rooms, {
      id: configBlob!.digest,
      config: parseConfig(image.config),
      manifest: {
        ...manifestBlob!,
        mediaType: mediaTypes.ociManifest,
        layers: [{ ...layerBlob!, mediaType: mediaTypes.ociLayer }],
        indexes: [],
      },
      references: [reference],
      isTagged: false,
    });
  } finally {
    hold.release();
  }
}

/** The image's three blobs; the same bytes every time. */
export function embeddedImage(architecture: EmbeddedArchitecture) {
  const layer = archiveOf(PROGRAM, embeddedProgram(architecture));
  const config: ConfigDocument = {
    architecture,
    os: "linux",
    created: CREATED,
    config: {
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      Cmd: [`/${PROGRAM}`],
      WorkingDir: "/",
    },
    rootfs: { type: "layers", diff_ids: [sha256Of(layer)] },
    history: [{ created: CREATED, created_by: "brig", comment: "embedded hello-world" }],
  };
  const configBytes = Buffer.from(JSON.stringify(config));
  const manifest = manifestFor(blobOf(configBytes), [{ ...blobOf(layer), mediaType: mediaTypes.ociLayer }]);
  return { layer, config: configBytes, manifest };
}

function blobOf(bytes: Uint8Array): BlobRecord {
  return { mediaType: "", digest: sha256Of(bytes), size: bytes.length };
}

/** An ELF executable that writes the greeting to stdout and exits with 0. */
export function embeddedProgram(architecture: EmbeddedArchitecture): Buffer {
  const text = Buffer.from(greeting);
  const codeBytes = assemble(architecture, 0, text.length).length;
  const code = assemble(architecture, HEADERS_BYTES + codeBytes, text.length);
  const total = HEADERS_BYTES + code.length + text.length;
  const headers = Buffer.alloc(HEADERS_BYTES);
  headers.write("\x7fELF\x02\x01\x01", 0, "latin1"); // 64 bits, little endian, version 1
  headers.writeUInt16LE(2, 16); // ET_EXEC
  headers.writeUInt16LE(machines[architecture], 18);
  headers.writeUInt32LE(1, 20);
  headers.writeBigUInt64LE(BigInt(LOAD_ADDRESS + HEADERS_BYTES), 24); // entry
  headers.writeBigUInt64LE(64n, 32); // program headers follow
  headers.writeUInt16LE(64, 52);
  headers.writeUInt16LE(56, 54);
  headers.writeUInt16LE(1, 56);
  headers.writeUInt16LE(64, 58);
  headers.writeUInt32LE(1, 64); // PT_LOAD
  headers.writeUInt32LE(5, 68); // read, execute
  headers.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 80);
  headers.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 88);
  headers.writeBigUInt64LE(BigInt(total), 96);
  headers.writeBigUInt64LE(BigInt(total), 104);
  headers.writeBigUInt64LE(0x10000n, 112); // arm64 has pages of up to 64 KiB
  return Buffer.concat([headers, code, text]);
}

/** write(1, text, textBytes); exit(0). `textOffset` is the text's place in the file. */
function assemble(architecture: EmbeddedArchitecture, textOffset: number, textBytes: number): Buffer {
  if (architecture === "amd64")
    return Buffer.concat([
      Buffer.from([0xb8, 1, 0, 0, 0]), // mov eax, write
      Buffer.from([0xbf, 1, 0, 0, 0]), // mov edi, 1
      Buffer.from([0xbe, ...littleEndian(LOAD_ADDRESS + textOffset)]), // mov esi, text
      Buffer.from([0xba, ...littleEndian(textBytes)]), // mov edx, textBytes
      Buffer.from([0x0f, 0x05]), // syscall
      Buffer.from([0xb8, 60, 0, 0, 0]), // mov eax, exit
      Buffer.from([0x31, 0xff]), // xor edi, edi
      Buffer.from([0x0f, 0x05]), // syscall
    ]);
  const move = (register: number, value: number) => 0xd2800000 + value * 32 + register;
  const supervisorCall = 0xd4000001;
  // adr counts from its own place, which is the second instruction's.
  const distance = Math.max(textOffset - (HEADERS_BYTES + 4), 0);
  const address = 0x10000000 + (distance % 4) * 2 ** 29 + Math.floor(distance / 4) * 32 + 1;
  const instructions = [
    move(0, 1),
    address,
    move(2, textBytes),
    move(8, 64), // write
    supervisorCall,
    move(0, 0),
    move(8, 93), // exit
    supervisorCall,
  ];
  return Buffer.from(instructions.flatMap(littleEndian));
}

function littleEndian(value: number): number[] {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return [...bytes];
}

/** A tar archive of one executable file (POSIX ustar), the same bytes whatever the time and the machine. */
function archiveOf(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(512);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0");
  header.write(name, 0);
  header.write(octal(0o755, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  header.write(octal(content.length, 11), 124);
  header.write(octal(Date.parse(CREATED) / 1000, 11), 136);
  header.write(" ".repeat(8), 148);
  header.write("0", 156);
  header.write("ustar\x0000", 257);
  header.write(
    `${octal(
      header.reduce((sum, byte) => sum + byte, 0),
      6,
    )}\x00 `,
    148,
  );
  const padding = Buffer.alloc(((512 - (content.length % 512)) % 512) + 1024);
  return Buffer.concat([header, content, padding]);
}
