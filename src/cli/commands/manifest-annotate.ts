import { type Command, StatusError } from "../command.ts";
import { fullName, ManifestStore } from "../manifest-store.ts";

/** Operating systems and architectures that Docker knows together (Go's GOOS and GOARCH). */
const known: Record<string, string[]> = {
  darwin: ["386", "amd64", "arm", "arm64"],
  dragonfly: ["amd64"],
  freebsd: ["386", "amd64", "arm"],
  linux: ["386", "amd64", "arm", "arm64", "loong64", "mips64", "mips64le", "ppc64le", "riscv64", "s390x"],
  netbsd: ["386", "amd64", "arm"],
  openbsd: ["386", "amd64", "arm"],
  plan9: ["386", "amd64"],
  solaris: ["amd64"],
  windows: ["386", "amd64", "arm", "arm64"],
};

export const command: Command = {
  usage: "[OPTIONS] MANIFEST_LIST MANIFEST",
  short: "Add additional information to a local image manifest",
  experimental: true,
  args: { min: 2, max: 2 },
  flags: [
    { name: "arch", type: "string", usage: "Set architecture" },
    { name: "os", type: "string", usage: "Set operating system" },
    { name: "os-features", type: "list", value: "strings", usage: "Set operating system feature" },
    { name: "os-version", type: "string", usage: "Set operating system version" },
    { name: "variant", type: "string", usage: "Set architecture variant" },
  ],
  async run(ctx, flags) {
    const [list, image] = [fullName(flags.args[0]!), fullName(flags.args[1]!)];
    const store = new ManifestStore(ctx.configDir);
    const manifest = store.image(list, image);
    if (manifest === undefined)
      throw new StatusError(`manifest for image ${flags.args[1]} does not exist in ${flags.args[0]}`, 1);
    const before = manifest.Descriptor.platform;
    const features = flags.list("os-features").flatMap((text) => text.split(","));
    const os = flags.string("os") || before?.os || "";
    const architecture = flags.string("arch") || before?.architecture || "";
    const platform = {
      ...before,
      architecture,
      os,
      ...(flags.string("os-version") === "" ? {} : { "os.version": flags.string("os-version") }),
      ...(features.length === 0 ? {} : { "os.features": [...(before?.["os.features"] ?? []), ...features] }),
      ...(flags.string("variant") === "" ? {} : { variant: flags.string("variant") }),
    };
    if (!(Object.hasOwn(known, os) && known[os]!.includes(architecture)))
      throw new StatusError(
        `manifest entry for image has unsupported os/arch combination: ${flags.string("os")}/${flags.string("arch")}`,
        1,
      );
    store.save(list, image, { ...manifest, Descriptor: { ...manifest.Descriptor, platform } });
    return 0;
  },
};
