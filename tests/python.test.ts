import { afterAll, beforeAll, expect, test } from "bun:test";
import { run, TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon();
beforeAll(async () => {
  await (await daemon.start()).withImage();
});
afterAll(() => daemon.dispose());

test("the Docker SDK for Python: containers, exec, attach, events, logs", async () => {
  const program = `
import docker, threading
c = docker.DockerClient(base_url="${daemon.host}")
assert c.ping()
assert c.containers.run("alpine", "echo hello", remove=True) == b"hello\\n"
events = c.events(decode=True, filters={"type": "container"})
k = c.containers.run("alpine", ["sh", "-c", "for i in 1 2 3; do echo line $i; done; sleep 100"], detach=True, name="py", labels={"a": "b"})
assert next(events)["Action"] == "create"
assert [e for e in (next(events), next(events)) if e["Action"] == "start"]
k.reload(); assert k.status == "running", k.status
assert k.exec_run("id -u").output == b"0\\n"
r = k.exec_run(["sh", "-c", "echo out; echo err >&2; exit 3"], demux=True)
assert r.exit_code == 3 and r.output == (b"out\\n", b"err\\n"), r
import time; time.sleep(.3)
lines = []
for l in k.logs(stream=True, follow=False): lines.append(l)
assert lines == [b"line 1\\n", b"line 2\\n", b"line 3\\n"], lines
assert k.top()["Titles"]
assert [x.name for x in c.containers.list(filters={"label": "a=b"})] == ["py"]
k.pause(); k.reload(); assert k.status == "paused"; k.unpause()
k.rename("py2"); k.restart(timeout=0); k.stop(timeout=0)
assert k.wait()["StatusCode"] == 137
k.remove()
try: c.containers.get("py2"); assert False
except docker.errors.NotFound as e: assert "No such container: py2" in str(e)
s = c.api.create_container("alpine", "cat", stdin_open=True)
sock = c.api.attach_socket(s, params={"stdin": 1, "stdout": 1, "stream": 1})
c.api.start(s); sock._sock.send(b"ping\\n"); assert sock._sock.recv(100)[8:] == b"ping\\n"
c.api.remove_container(s, force=True)
assert c.images.get("alpine").tags == ["alpine:latest"]
assert c.info()["Containers"] == 0 and c.version()["ApiVersion"]
print("all well")
`;
  const { stdout, stderr } = await run(["/usr/bin/python3", "-c", program]);
  expect(stderr).toBe("");
  expect(stdout).toBe("all well\n");
}, 60_000);
