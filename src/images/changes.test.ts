// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of Dockerfiles are meant.
import { describe, expect, test } from "bun:test";
import type { ImageConfig } from "../wire/engine-api.ts";
import { applyChanges } from "./changes.ts";

describe("applyChanges", () => {
  const cases: [changes: string[], config: ImageConfig][] = [
    [['CMD ["a", "b"]'], { Cmd: ["a", "b"] }],
    [["cmd echo hi"], { Cmd: ["/bin/sh", "-c", "echo hi"] }],
    [['ENTRYPOINT ["/x"]'], { Entrypoint: ["/x"] }],
    [["ENV A=b C='d e'", 'ENV A="x \\"y\\""'], { Env: ['A=x "y"', "C=d e"] }],
    [["ENV A some words"], { Env: ["A=some words"] }],
    [["LABEL a=b", 'LABEL "c d"=e'], { Labels: { a: "b", "c d": "e" } }],
    [["EXPOSE 80 53/udp 8000-8001"], { ExposedPorts: { "80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {} } }],
    [['VOLUME ["/a"]', "VOLUME /b /c"], { Volumes: { "/a": {}, "/b": {}, "/c": {} } }],
    [["WORKDIR /a", "WORKDIR b/../c"], { WorkingDir: "/a/c" }],
    [
      ["ENV A=1 B=$A", "ENV C=${A:-x}y", 'LABEL x=$A "y z"=w', "EXPOSE $A 127.0.0.1:81:82", "USER $A a", "VOLUME $A"],
      {
        ...{ Env: ["A=1", "B=", "C=1y"], Labels: { x: "1", "y z": "w" } },
        ...{ ExposedPorts: { "1/tcp": {}, "82/tcp": {} }, User: "1 a", Volumes: { "1": {} } },
      },
    ],
    [["ENV A=1", "CMD echo $A"], { Env: ["A=1"], Cmd: ["/bin/sh", "-c", "echo $A"] }],
    [["USER 1:2"], { User: "1:2" }],
    [["STOPSIGNAL SIGINT"], { StopSignal: "SIGINT" }],
    [["ONBUILD RUN x"], { OnBuild: ["RUN x"] }],
    [["HEALTHCHECK NONE"], { Healthcheck: { Test: ["NONE"] } }],
    [
      ["HEALTHCHECK --interval=5s --retries=3 CMD true"],
      { Healthcheck: { Test: ["CMD-SHELL", "true"], Interval: 5e9, Retries: 3 } },
    ],
  ];
  for (const [changes, config] of cases)
    test(changes.join("; "), () => expect(applyChanges({}, changes)).toEqual(config));

  for (const [change, message] of [
    ["FROM x", "FROM is not a valid change command"],
    ["ENV", "ENV requires at least one argument"],
    ["ENV A=b c", "Syntax error - can't find = in"],
    ["EXPOSE 99999", "Invalid containerPort: 99999"],
    ["USER", "USER requires exactly one argument"],
    ["EXPOSE 80/xx", "Invalid proto: xx"],
    ["STOPSIGNAL BAD", "invalid signal: BAD"],
    ['CMD ["x", 1]', "arrays must be comprised of strings only"],
    ["HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)"],
    ["VOLUME []", "VOLUME requires at least one argument"],
    ["nonsense", "nonsense is not a valid change command"],
    ["", "file with no instructions"],
    ["# only a comment", "file with no instructions"],
    ["ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"],
    ["HEALTHCHECK PING", 'Unknown type "PING" in HEALTHCHECK (try CMD)'],
  ] as const)
    test(`refuses ${change}`, () => expect(() => applyChanges({}, [change])).toThrow(message));
});
