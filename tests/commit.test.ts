/** diff, export and commit by the real client, on running and stopped containers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { run, TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon();
const docker = (...args: string[]) => daemon.docker(...args);
beforeAll(async () => {
  await (await daemon.start()).withImage();
});
afterAll(() => daemon.dispose());

const changes = `
  echo new >/new; mkdir -p /newdir/deep; ln /new /newdir/hard; ln -s /nowhere /newdir/soft; mkfifo -m 640 /newdir/pipe
  mknod /newdir/null c 1 3; chown 7:8 /newdir/null; chmod 4711 /newdir/deep; rm /bin/ls; touch -d @1000 /etc/passwd
  rm -r /usr/sbin; mkdir /usr/sbin; rm -r /www; echo file >/www; truncate -s 300M /newdir/sparse; echo x >>/newdir/sparse
  echo in >/vol/in; echo own >>/etc/hosts; chmod 700 /root`;

const changed = `
  C /bin; D /bin/ls; C /etc; C /etc/passwd; A /new; A /newdir; A /newdir/deep; A /newdir/hard; A /newdir/null
  A /newdir/pipe; A /newdir/soft; A /newdir/sparse; C /root; C /usr; C /usr/sbin; A /vol; C /www`
  .split(/[;\n]/)
  .map((line) => line.trim())
  .filter(Boolean);

const imageOf = (name: string) =>
  docker("image", "inspect", "-f", "{{json .}}", name).then(({ stdout }) => JSON.parse(stdout));

describe("a running container", () => {
  beforeAll(async () => {
    await docker("run", "-d", "--name", "cc-run", "-v", "/vol", "-l", "l=1", "-e", "E=1", "alpine", "sleep", "1000");
    const { code, stderr } = await docker("exec", "cc-run", "sh", "-ec", changes);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });

  test("diff: Docker's kinds; what is mounted and what the engine made is none", async () => {
    const { stdout } = await docker("diff", "cc-run");
    const listed = stdout
      .trim()
      .split("\n")
      .filter((line) => !line.startsWith("D /usr/sbin/"));
    expect(listed).toEqual(changed);
    expect(stdout).toContain("D /usr/sbin/chroot\n");
    expect((await daemon.brig("container", "diff", "cc-run")).stdout).toBe(stdout);
    const stopped = await docker("create", "alpine");
    expect(await (await daemon.request("GET", `/containers/${stopped.stdout.trim()}/changes`)).json()).toBeNull();
  });

  test("commit: config, history, events; the container goes on", async () => {
    const since = String(Math.floor(Date.now() / 1000));
    const committed = await docker(
      ...["commit", "-a", "Me <me@example.com>", "-m", "words", "-c", "ENV A=b E=2", "-c", 'CMD ["true"]'],
      ...["-c", "LABEL m=2", "-c", "EXPOSE 80", "-c", "WORKDIR /newdir", "-c", "USER 7", "-c", "VOLUME /data"],
      ...["-c", "ONBUILD RUN x", "-c", "STOPSIGNAL SIGINT", "-c", "HEALTHCHECK --retries=2 CMD true"],
      ...["-c", 'ENTRYPOINT ["/bin/sh"]', "cc-run", "cc:1"],
    );
    expect(committed.stderr).toBe("");
    expect(committed.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
    const id = committed.stdout.trim();
    const base = await imageOf("alpine");
    const image = await imageOf("cc:1");
    expect(image).toMatchObject({ Id: id, Parent: base.Id, Author: "Me <me@example.com>", Comment: "words" });
    expect(image.RootFS.Layers.slice(0, -1)).toEqual(base.RootFS.Layers);
    expect(image.Config.Env).toEqual(["E=2", ...base.Config.Env, "A=b"]);
    expect(image.Config).toMatchObject({
      ...{ Cmd: ["true"], Entrypoint: ["/bin/sh"], WorkingDir: "/newdir", User: "7", StopSignal: "SIGINT" },
      ...{ Labels: { l: "1", m: "2" }, ExposedPorts: { "80/tcp": {} }, Volumes: { "/data": {}, "/vol": {} } },
      ...{ OnBuild: ["RUN x"], Healthcheck: { Test: ["CMD-SHELL", "true"], Retries: 2 } },
    });
    const history = await docker("history", "--no-trunc", "--format", "{{.ID}} {{.CreatedBy}} {{.Comment}}", "cc:1");
    expect(history.stdout.split("\n").slice(0, 2)).toEqual([`${id} sleep 1000 words`, `${base.Id}  Imported from -`]);
    expect((await daemon.brig("history", "--no-trunc", "cc:1")).stdout).toContain("sleep 1000");
    const until = String(Math.ceil(Date.now() / 1000));
    const events = await docker("events", "--since", since, "--until", until, "--format", "{{.Action}}");
    expect(events.stdout.trim().split("\n").slice(-4)).toEqual(["pause", "tag", "commit", "unpause"]);
    expect((await docker("inspect", "-f", "{{.State.Status}}", "cc-run")).stdout).toBe("running\n");
    const old = await (await daemon.request("GET", "/v1.24/images/cc:1/json")).json();
    expect(old).toMatchObject({ ContainerConfig: { Cmd: ["sleep", "1000"] }, Container: expect.any(String) });
    await docker("rmi", "cc:1");
  });

  test("what is committed, exported and saved is what the container sees, bit for bit", async () => {
    const roots = `${daemon.root}/trees`;
    mkdirSync(roots);
    // find's own account of a tree; a directory's time is that of its last change, and a volume's place is not in the layer.
    const account = (root: string) =>
      run([
        "sh",
        "-c",
        `cd ${root} && find . -mindepth 1 \\( -path ./dev -o -path ./proc -o -path ./sys -o -path ./.dockerenv -o -name mtab \\) -prune -o \
          \\( -type d -printf '%P %y %m %U %G\\n' -o -printf '%P %y %m %U %G %s %T@ %n %l\\n' \\) | sort |
          grep -v '^etc/ho[^ ]* \\|^etc/resolv'; cd ${root} && find . -type f -size -1M -not -path './etc/*' -not -path './dev/*' | sort | xargs -d '\\n' sha256sum`,
      ]).then(({ stdout }) => stdout);
    await docker("commit", "-p=false", "cc-run", "cc:2");
    const id = (await docker("inspect", "-f", "{{.Id}}", "cc-run")).stdout.trim();
    const own = await account(`${daemon.root}/run/containers/${id}/rootfs`);
    expect(own).toContain("newdir/deep d 4711 0 0\n");
    const copy = (await docker("run", "-d", "cc:2", "sleep", "1000")).stdout.trim();
    // The volume has its place in the image, too.
    expect(await account(`${daemon.root}/run/containers/${copy}/rootfs`)).toBe(own);
    await docker("rm", "-f", copy);

    await run(["sh", "-c", `docker -H ${daemon.host} export cc-run >${roots}/running.tar`]);
    await docker("export", "-o", `${roots}/again.tar`, "cc-run");
    expect(await run(["cmp", `${roots}/running.tar`, `${roots}/again.tar`])).toMatchObject({ code: 0 });
    expect(Bun.file(`${roots}/again.tar`).size).toBeLessThan(20_000_000);
    mkdirSync(`${roots}/exported`);
    await run(["tar", "-xpf", `${roots}/again.tar`, "--numeric-owner", "-C", `${roots}/exported`]);
    expect(await account(`${roots}/exported`)).toBe(own);
    expect(readFileSync(`${roots}/exported/etc/hosts`, "utf8")).toBe("");
    expect(readdirSync(`${roots}/exported/vol`)).toEqual([]);

    // Python's reader is not ours, and knows holes as well.
    const python = `import tarfile; print(tarfile.open("${roots}/again.tar").getmember("newdir/sparse").size)`;
    expect((await run(["python3", "-c", python])).stdout).toBe(`${300 * 1024 * 1024 + 2}\n`);
    await docker("import", `${roots}/again.tar`, "cc:3");
    const imported = (await docker("run", "-d", "cc:3", "sleep", "1000")).stdout.trim();
    expect(await account(`${daemon.root}/run/containers/${imported}/rootfs`)).toBe(own);
    await docker("rm", "-f", imported);
    await docker("rmi", "cc:2", "cc:3");
    rmSync(roots, { recursive: true });
  });
});

describe("a stopped container", () => {
  test("diff, export and commit leave no mount, and nothing in an empty commit", async () => {
    await docker("run", "--name", "cc-stop", "alpine", "sh", "-c", "echo new >/new");
    expect((await docker("diff", "cc-stop")).stdout).toBe("A /new\n");
    const listed = await run(["sh", "-c", `docker -H ${daemon.host} export cc-stop | tar -tf -`]);
    expect(listed.stdout.split("\n")).toContain("new");
    expect((await run(["grep", "-c", `${daemon.root}/run/containers`, "/proc/self/mountinfo"])).stdout.trim()).toBe(
      String((await docker("ps", "-q")).stdout.trim().split("\n").filter(Boolean).length),
    );
    const fresh = (await docker("create", "alpine")).stdout.trim();
    const empty = (await docker("commit", fresh)).stdout.trim();
    expect((await imageOf(empty)).RootFS).toEqual((await imageOf("alpine")).RootFS);
    expect((await docker("run", "--rm", empty, "echo", "runs")).stdout).toBe("runs\n");
    await docker("rmi", empty);
  });

  test("a commit upon a commit keeps what was removed hidden", async () => {
    await docker("run", "--name", "cc-one", "alpine", "sh", "-c", "mkdir /d; echo 1 >/d/a; echo 1 >/d/b; rm /bin/true");
    await docker("commit", "cc-one", "cc:one");
    await docker("run", "--name", "cc-two", "cc:one", "sh", "-c", "rm -r /d; mkdir /d; echo 2 >/d/c");
    expect((await docker("diff", "cc-two")).stdout).toBe("C /d\nD /d/a\nD /d/b\nA /d/c\n");
    await docker("commit", "cc-two", "cc:two");
    expect((await docker("run", "--rm", "cc:two", "sh", "-c", "ls /d; ls /bin/true")).stdout).toBe("c\n");
    await docker("rm", "cc-one", "cc-two");
    expect((await docker("rmi", "cc:one")).stdout).toBe("Untagged: cc:one\n");
    await docker("rmi", "cc:two");
  });
});

test("Docker's refusals", async () => {
  const refusal = async (method: string, path: string, body?: unknown) => {
    const answer = await daemon.request(method, path, body);
    return [answer.status, ((await answer.json()) as { message: string }).message];
  };
  expect(await refusal("POST", "/commit?container=nosuch")).toEqual([404, "No such container: nosuch"]);
  expect(await refusal("POST", "/commit")).toEqual([400, 'invalid name or ID supplied: ""']);
  expect(await refusal("POST", "/commit?container=cc-run&changes=SHELL+x")).toEqual([
    400,
    "SHELL is not a valid change command",
  ]);
  expect(await refusal("POST", "/commit?container=cc-run&repo=Bad")).toEqual([
    400,
    "invalid reference format: repository name (library/Bad) must be lowercase",
  ]);
  expect(await refusal("POST", `/commit?container=cc-run&repo=x@sha256:${"0".repeat(64)}`)).toEqual([
    400,
    "cannot import digest reference",
  ]);
  expect(await refusal("POST", "/commit?container=cc-run", "{")).toEqual([
    400,
    expect.stringContaining("invalid JSON"),
  ]);
  expect(await refusal("GET", "/containers/nosuch/export")).toEqual([404, "No such container: nosuch"]);
  expect(await refusal("GET", "/containers/nosuch/changes")).toEqual([404, "No such container: nosuch"]);
  const body = { Cmd: ["mine"], Env: ["X=1"], HostConfig: { Memory: 1 } };
  const made = await daemon.request("POST", "/commit?container=cc-run&repo=cc&tag=body&pause=0", body);
  expect(made.status).toBe(201);
  expect((await imageOf("cc:body")).Config).toMatchObject({ Cmd: ["mine"], Labels: { l: "1" } });
  await docker("rmi", "cc:body");
});

test("a client that leaves in the middle of an export leaves nothing behind", async () => {
  await docker("run", "--name", "cc-big", "alpine", "sh", "-c", "dd if=/dev/zero of=/big bs=1M count=60");
  const answer = await daemon.request("GET", "/containers/cc-big/export");
  const reader = answer.body!.getReader();
  await reader.read();
  await reader.cancel();
  const id = (await docker("inspect", "-f", "{{.Id}}", "cc-big")).stdout.trim();
  const mounts = async () => (await run(["grep", "-c", id, "/proc/self/mountinfo"])).stdout.trim();
  for (let attempt = 0; attempt < 100 && (await mounts()) !== "0"; attempt++) await Bun.sleep(20);
  expect(await mounts()).toBe("0");
  // The same where it is the daemon that goes.
  const last = (await daemon.request("GET", "/containers/cc-big/export")).body!.getReader();
  await last.read();
  expect(await mounts()).toBe("1");
  await daemon.end("SIGKILL");
  await last.cancel().catch(() => undefined);
  await daemon.start();
  expect(await mounts()).toBe("0");
  await docker("rm", "cc-big");
});

test("a daemon that is killed while it commits leaves neither half an image nor a frozen container", async () => {
  const content = `${daemon.root}/data`;
  const count = (directory: string) => readdirSync(`${content}/${directory}`).length;
  await docker("exec", "cc-run", "sh", "-c", "dd if=/dev/zero of=/large bs=1M count=200");
  const before = [count("layers"), count("content/sha256"), (await docker("images", "-aq")).stdout];
  for (const waitMs of [5, 40, 120]) {
    const commit = docker("commit", "cc-run", "cc:killed");
    for (let attempt = 0; attempt < 400; attempt++) {
      if ((await docker("inspect", "-f", "{{.State.Status}}", "cc-run")).stdout === "paused\n") break;
    }
    await Bun.sleep(waitMs);
    await daemon.end("SIGKILL");
    await commit;
    await daemon.start();
    const found = await docker("images", "-q", "cc:killed");
    // It may have been quicker than we are.
    if (found.stdout !== "") await docker("rmi", "cc:killed");
    expect([count("layers"), count("content/sha256"), (await docker("images", "-aq")).stdout]).toEqual(before);
    expect((await docker("inspect", "-f", "{{.State.Status}}", "cc-run")).stdout).toBe("running\n");
    expect((await docker("exec", "cc-run", "echo", "alive")).stdout).toBe("alive\n");
  }
  expect(readdirSync(`${content}/layers/tmp`)).toEqual([]);
});

test("a removal waits for a commit of the same container", async () => {
  const commit = docker("commit", "cc-run", "cc:last");
  await Bun.sleep(30);
  const [committed, removed] = await Promise.all([commit, docker("rm", "-fv", "cc-run")]);
  expect(removed.code).toBe(0);
  if (committed.code === 0) {
    expect((await docker("run", "--rm", "cc:last", "wc", "-c", "/large")).stdout).toBe("209715200 /large\n");
    await docker("rmi", "cc:last");
  } else expect(committed.stderr).toContain("No such container");
});

test("prune takes images, and then those they were built upon; what a container uses stays", async () => {
  const build = async (base: string, name: string) => {
    await docker("run", "--name", "cc-prune", base, "touch", `/${name}`);
    await docker("commit", "cc-prune", name);
    await docker("rm", "cc-prune");
  };
  await build("alpine", "lower");
  await build("lower", "upper");
  const { stdout: id } = await docker("image", "inspect", "-f", "{{.Id}}", "lower");
  await docker("create", "--name", "cc-prune", "upper");
  const kept = await docker("image", "prune", "-af", "--filter", "label!=none");
  expect(kept.stderr).toBe("");
  expect((await docker("image", "inspect", "-f", "{{.RepoTags}}", "upper", id.trim())).stdout).toBe(
    "[upper:latest]\n[]\n",
  );
  await docker("rm", "cc-prune");
  const gone = await docker("image", "prune", "-af");
  expect(gone.stdout).toContain("untagged: upper:latest\n");
  expect(gone.stdout).toContain(`deleted: ${id}`);
  expect((await docker("image", "prune", "-f", "--filter", "dangling=false")).stderr).toContain(
    "invalid filter 'dangling=[",
  );
});
