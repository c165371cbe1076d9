import { join } from "node:path";
import { S3Server, s3Credentials } from "../../tests/support/s3-server.ts";
import { ContentStore } from "../storage/content.ts";
import { blobStoreSuite } from "./blob-store.suite.ts";
import { DiskBlobs } from "./disk-blobs.ts";
import { S3Blobs } from "./s3-blobs.ts";

blobStoreSuite("blobs on disk", async (directory) => ({
  store: new DiskBlobs(new ContentStore(join(directory, "blobs"), ["sha256", "sha512"])),
  close: async () => undefined,
}));

blobStoreSuite("blobs in S3", async () => {
  const server = new S3Server();
  const { endpoint } = server;
  const options = { bucket: "registry", endpoint, sessionToken: "", prefix: "some/where/", redirect: false };
  return { store: new S3Blobs({ ...options, ...s3Credentials }), close: () => server.stop() };
});
