import { parseReference } from "../../lib/reference.ts";
import type { Command } from "../command.ts";
import { showProgress } from "../progress.ts";
import { openInput, outputOf } from "./load.ts";

export const command: Command = {
  usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
  short: "Import the contents from a tarball to create a filesystem image",
  aliases: ["image import", "import"],
  args: { min: 1 },
  flags: [
    { name: "change", short: "c", type: "list", usage: "Apply Dockerfile instruction to the created image" },
    { name: "message", short: "m", type: "string", usage: "Set commit message for imported image" },
    { name: "platform", type: "string", usage: "Set platform if server is multi-platform capable" },
  ],
  async run(ctx, flags) {
    const [source = "", target = ""] = flags.args;
    if (target !== "") parseReference(target);
    const isUrl = /^(https?|ftp):\/\//.test(source);
    const messages = ctx.engine.jsonStream<object>("POST", "/images/create", {
      query: {
        fromSrc: isUrl ? source : "-",
        repo: target,
        message: flags.string("message"),
        changes: flags.list("change"),
        platform: flags.string("platform").toLowerCase(),
      },
      ...(isUrl ? {} : { headers: { "Content-Type": "application/x-tar" }, body: openInput(source) }),
    });
    await showProgress(messages, outputOf(ctx));
    return 0;
  },
};
