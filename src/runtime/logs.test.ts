import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  linkSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LogQuery, readLogs } from "./logs.ts";
import { LogRotation } from "./rotation.ts";
import { TestHouse } from "./test-container.ts";

const everything: LogQuery = {
  tty: false,
  stdout: true,
  stderr: true,
  timestamps: false,
  details: undefined,
  follow: false,
};

/** Takes frames apart: `1:text` for each. */
async function frames(path: string, query: Partial<LogQuery> = {}): Promise<string[]> {
  const result: string[] = [];
  for await (const piece of readLogs(path, { ...everything, ...query })) {
    for (let at = 0; at < piece.length; ) {
      const length = piece.readUInt32BE(at + 4);
      result.push(`${piece[at]}:${piece.toString("utf8", at + 8, at + 8 + length)}`);
      at += 8 + length;
    }
  }
  return result;
}

let directory: string;
let counter = 0;
const newLog = () => join(directory, `log${counter++}`);

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "brig-logs-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function record(second: number, text: string, stream = "stdout", tag = "F"): string {
  const time = new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString().slice(0, 19);
  return `${time}.000000123+00:00 ${stream} ${tag} ${text}\n`;
}

const at = (second: number) => BigInt(Date.UTC(2026, 0, 1, 0, 0, second)) * 1_000_000n + 123n;

describe("what is read", () => {
  test("one frame for each line, also for one that conmon had to split", async () => {
    const path = newLog();
    const long = "x".repeat(8192);
    writeFileSync(
      path,
      record(0, "a") +
        record(0, "begin-", "stdout", "P") +
        record(0, "err", "stderr") +
        record(0, "end") +
        record(0, long, "stdout", "P") +
        record(0, long, "stdout", "P") +
        record(0, "tail") +
        record(0, "", "stdout") +
        record(0, "no newline", "stdout", "P"),
    );
    expect(await frames(path)).toEqual([
      "1:a\n",
      "2:err\n",
      "1:begin-end\n",
      `1:${long}${long}`,
      "1:tail\n",
      "1:\n",
      "1:no newline",
    ]);
    expect(await frames(path, { stdout: false, timestamps: true, details: "k=v" })).toEqual([
      "2:2026-01-01T00:00:00.000000123Z k=v err\n",
    ]);
    expect((await frames(path, { timestamps: true })).map((frame) => frame.slice(0, 40))).toContain(
      "1:2026-01-01T00:00:00.000000123Z begin-e",
    );
    const raw: Buffer[] = [];
    for await (const piece of readLogs(path, { ...everything, tty: true })) raw.push(piece);
    expect(Buffer.concat(raw).toString()).toStartWith("a\nerr\nbegin-end\n");
  });

  test("tail, since and until, over several files", async () => {
    const path = newLog();
    const lines = (from: number, to: number) => {
      let text = "";
      for (let n = from; n < to; n++) text += record(n, `line ${n}`);
      return text;
    };
    writeFileSync(`${path}.2`, lines(0, 10_000));
    writeFileSync(`${path}.1`, lines(10_000, 20_000));
    writeFileSync(path, lines(20_000, 30_000));
    linkSync(path, `${path}.0`);
    const numbers = (all: string[]) => all.map((frame) => Number(frame.slice(7)));
    expect(numbers(await frames(path))).toEqual(Array.from({ length: 30_000 }, (_, index) => index));
    for (const tail of [0, 1, 10, 9_999, 10_000, 10_001, 25_000, 30_000, 50_000]) {
      const found = numbers(await frames(path, { tail }));
      expect(found.length).toBe(Math.min(tail, 30_000));
      if (tail > 0) expect([found[0], found.at(-1)]).toEqual([Math.max(0, 30_000 - tail), 29_999]);
    }
    for (const second of [0, 1, 5_000, 9_999, 10_000, 15_123, 20_000, 29_999]) {
      expect(numbers(await frames(path, { sinceNs: at(second) }))[0]).toBe(second);
      expect(numbers(await frames(path, { sinceNs: at(second) + 1n }))[0]).toBe(
        second < 29_999 ? second + 1 : undefined,
      );
      expect(numbers(await frames(path, { untilNs: at(second) })).at(-1)).toBe(second);
    }
    expect(numbers(await frames(path, { sinceNs: at(12_345), untilNs: at(12_347) }))).toEqual([12_345, 12_346, 12_347]);
    expect(numbers(await frames(path, { tail: 5, sinceNs: at(29_998) }))).toEqual([29_998, 29_999]);
  });

  test("no log, an empty one, and rubbish", async () => {
    expect(await frames(join(directory, "none"))).toEqual([]);
    const path = newLog();
    writeFileSync(path, "");
    expect(await frames(path, { tail: 3 })).toEqual([]);
    writeFileSync(path, `${record(0, "good")}rubbish\n\n${"y".repeat(600_000)}\n${record(1, "better")}2026-01`);
    expect(await frames(path)).toEqual(["1:good\n", "1:better\n"]);
    expect(await frames(path, { tail: 1 })).toEqual(["1:better\n"]);
  });
});

describe("follow", () => {
  test("what is appended, over a change of files, until the end", async () => {
    const path = newLog();
    writeFileSync(path, record(0, "0"));
    const ended = new AbortController();
    const all = frames(path, { follow: true, ended: ended.signal, tail: 1 });
    for (let n = 1; n < 30; n++) {
      await Bun.sleep(n % 7 === 0 ? 60 : 2);
      if (n % 10 === 5) {
        renameSync(path, `${path}.${100 - n}`);
        appendFileSync(`${path}.${100 - n}`, record(n, `${n}`));
        continue;
      }
      appendFileSync(path, record(n, `${n}`));
    }
    ended.abort();
    expect(await all).toEqual(Array.from({ length: 30 }, (_, n) => `1:${n}\n`));
  });

  test("begins before there is a log, and stops when the reader goes", async () => {
    const path = newLog();
    const signal = new AbortController();
    const all = frames(path, { follow: true, signal: signal.signal });
    await Bun.sleep(20);
    writeFileSync(path, record(0, "first"));
    await Bun.sleep(250);
    signal.abort();
    expect(await all).toEqual(["1:first\n"]);
  });
});

describe("rotation", () => {
  test("loses no line that it is to keep, and tells a follower all of them", async () => {
    const house = new TestHouse();
    const rotation = new LogRotation();
    try {
      const path = house.logPath("talks");
      const talk = "i=0; while [ $i -lt 40 ]; do seq $((i*1000)) $((i*1000+999)); i=$((i+1)); sleep 0.02; done";
      // conmon begins new files by itself in between, soon after those it was told to.
      const options = { logBackstopBytes: 430_000 };
      const { exit, attachment } = await house.run("talks", ["sh", "-c", talk], options);
      attachment.detach();
      rotation.watch("talks", {
        path,
        maxSizeBytes: 100_000,
        maxFiles: 50,
        ctlPath: join(house.bundle("talks"), "ctl"),
      });
      const ended = new AbortController();
      const followed = frames(path, { follow: true, ended: ended.signal });
      expect(await exit).toBe(0);
      ended.abort();
      const expected = Array.from({ length: 40_000 }, (_, n) => `1:${n}\n`);
      expect(await followed).toEqual(expected);
      expect(await frames(path)).toEqual(expected);
      expect(existsSync(`${path}.5`)).toBe(true);
    } finally {
      rotation.close();
      await house.close();
    }
  });

  test("keeps no more files than asked for; conmon's own new file loses nothing", async () => {
    const house = new TestHouse();
    const rotation = new LogRotation();
    try {
      const path = house.logPath("backstop");
      const { exit, attachment } = await house.run(
        "backstop",
        ["sh", "-c", "seq 1 3000; sleep 0.3; seq 3001 4000; sleep 0.3"],
        {
          logBackstopBytes: 180_000,
        },
      );
      attachment.detach();
      rotation.watch("backstop", {
        path,
        maxSizeBytes: 1_000_000,
        maxFiles: 3,
        ctlPath: join(house.bundle("backstop"), "ctl"),
      });
      expect(await exit).toBe(0);
      expect(await frames(path)).toEqual(Array.from({ length: 4000 }, (_, n) => `1:${n + 1}\n`));
      expect(statSync(path).size).toBeLessThan(180_000);
      expect(existsSync(`${path}.3`)).toBe(false);
    } finally {
      rotation.close();
      await house.close();
    }
  });
});
