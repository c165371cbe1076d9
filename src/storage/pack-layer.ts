/** What a container has changed as the members of a layer. */
import { memberOf, type PackedMember } from "../trees/pack.ts";
import { type ChangedTree, layerMembers } from "./changes.ts";

/** Members of a layer: `.wh.` files for what is gone. */
export function* membersOfLayer(tree: ChangedTree): Generator<PackedMember> {
  for (const member of layerMembers(tree)) {
    if (member.kind === "entry") {
      // A file that is really called so cannot be told from a whiteout.
      if (member.entry.name.startsWith(".wh.")) continue;
      const packed = memberOf(member.entry);
      if (packed !== undefined) yield packed;
      continue;
    }
    const slash = member.path.lastIndexOf("/") + 1;
    const name =
      member.kind === "opaque"
        ? `${member.path}/.wh..wh..opq`
        : `${member.path.slice(0, slash)}.wh.${member.path.slice(slash)}`;
    yield { entry: { name, type: "file", mode: 0o600, size: 0 } };
  }
}
