import { expect, test } from "bun:test";
import { type EndpointNames, type NetworkView, Zones } from "./zones.ts";

const four = (last: number) => Uint8Array.of(10, 0, 0, last);
const six = (last: number) => Uint8Array.of(...Array<number>(15).fill(0), last);

function endpoint(names: string[], last: number, more: Partial<EndpointNames> = {}): EndpointNames {
  return { names, fullName: `${names[0]}.net`, v4: four(last), ...more };
}

const front: NetworkView = { id: "1", name: "front" };
const back: NetworkView = { id: "2", name: "Back.End" };

test("names are known on their own networks, in whatever case they were given", () => {
  const zones = new Zones();
  zones.set("1", "a", endpoint(["Web", "0123456789ab"], 1));
  expect(zones.addresses([front], "web", "v4")).toEqual([four(1)]);
  expect(zones.addresses([front], "0123456789ab", "v4")).toEqual([four(1)]);
  expect(zones.addresses([back], "web", "v4")).toBeUndefined();
  expect(zones.addresses([front], "web", "v6")).toEqual([]);
  expect(zones.addresses([front], "web.front", "v4")).toEqual([four(1)]);
  expect(zones.addresses([front, back], "web.back.end", "v4")).toBeUndefined();
  expect(zones.nameOf([front], four(1))).toBe("Web.net");
  expect(zones.nameOf([back], four(1))).toBeUndefined();
});

test("the first network with an address of the family answers", () => {
  const zones = new Zones();
  zones.set("1", "a", endpoint(["web"], 1));
  zones.set("2", "b", endpoint(["web"], 2, { v6: six(2) }));
  expect(zones.addresses([front, back], "web", "v4")).toEqual([four(1)]);
  expect(zones.addresses([back, front], "web", "v4")).toEqual([four(2)]);
  expect(zones.addresses([front, back], "web", "v6")).toEqual([six(2)]);
  expect(zones.addresses([front, back], "web.back.end", "v4")).toEqual([four(2)]);
});

test("a shared name's addresses take turns, and go with their holders", () => {
  const zones = new Zones();
  for (const last of [1, 2, 3]) zones.set("1", `e${last}`, endpoint([`web${last}`, "web"], last));
  const firsts = Array.from({ length: 6 }, () => zones.addresses([front], "web", "v4")![0]![3]);
  expect(firsts.toSorted()).toEqual([1, 1, 2, 2, 3, 3]);
  expect(new Set(firsts.slice(0, 3)).size).toBe(3);
  zones.remove("1", "e2");
  zones.remove("1", "e2");
  expect(
    zones
      .addresses([front], "web", "v4")!
      .map((address) => address[3]!)
      .toSorted(),
  ).toEqual([1, 3]);
  zones.set("1", "e3", endpoint(["other"], 4));
  expect(zones.addresses([front], "web", "v4")).toEqual([four(1)]);
  expect(zones.nameOf([front], four(3))).toBeUndefined();
  zones.remove("1", "e1");
  expect(zones.addresses([front], "web", "v4")).toBeUndefined();
});

test("links are names of one container only, and go before those of others", () => {
  const zones = new Zones();
  zones.set("1", "a", endpoint(["web"], 1));
  zones.set("1", "b", endpoint(["DB"], 2));
  const linked: NetworkView = { ...front, links: { web: "DB", database: "db", lost: "gone" } };
  expect(zones.addresses([linked], "web", "v4")).toEqual([four(2)]);
  expect(zones.addresses([linked], "database", "v4")).toEqual([four(2)]);
  expect(zones.addresses([linked], "database.front", "v4")).toEqual([four(2)]);
  expect(zones.addresses([front], "database", "v4")).toBeUndefined();
  expect(zones.addresses([linked], "lost", "v4")).toBeUndefined();
  expect(zones.addresses([linked], "constructor", "v4")).toBeUndefined();
});
