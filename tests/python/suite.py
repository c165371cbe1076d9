"""What programs written with the Docker SDK for Python rely on. BRIG_HOST names the daemon; its image is `alpine`."""

import contextlib
import os
import shutil
import tarfile
import tempfile
import threading
import time
import unittest

import docker
import requests
from docker.types import LogConfig, Mount
from docker.utils.proxy import ProxyConfig
from docker.utils.socket import next_frame_header, read_exactly

HOST = os.environ["BRIG_HOST"]
IMAGE = "alpine"


class Case(unittest.TestCase):
    """Gives each test a client, and takes away what it made."""

    def setUp(self):
        self.client = docker.DockerClient(base_url=HOST, version="auto", timeout=30)
        self.api = self.client.api
        self.addCleanup(self.client.close)

    def created(self, command="cat", **options):
        limits = {key: options.pop(key) for key in list(options) if key.startswith("host_")}
        if limits:
            named = {key[len("host_"):]: value for key, value in limits.items()}
            options["host_config"] = self.api.create_host_config(**named)
        container = self.api.create_container(IMAGE, command, **options)
        self.addCleanup(self.remove, container["Id"])
        return container["Id"]

    def started(self, command="cat", **options):
        if command == "cat":
            options.setdefault("stdin_open", True)
        container = self.created(command, **options)
        self.api.start(container)
        return container

    def ended(self, command, **options):
        container = self.started(command, **options)
        status = self.api.wait(container)["StatusCode"]
        return container, status

    def run_detached(self, command, **options):
        container = self.client.containers.run(IMAGE, command, detach=True, **options)
        self.addCleanup(self.remove, container.id)
        return container

    def remove(self, container):
        with contextlib.suppress(docker.errors.NotFound, docker.errors.APIError):
            self.api.remove_container(container, force=True, v=True)

    def state(self, container):
        return self.api.inspect_container(container)["State"]

    def eventually(self, holds):
        for _ in range(200):
            if holds():
                return
            time.sleep(0.02)
        self.fail("it did not come to be")


class Creating(Case):
    def test_is_listed(self):
        before = len(self.api.containers(all=True))
        container = self.started("true")
        listed = self.api.containers(all=True)
        self.assertEqual(len(listed), before + 1)
        [found] = [each for each in listed if each["Id"] == container]
        self.assertEqual(found["Command"], "true")
        self.assertRegex(found["Image"], "^alpine")
        self.assertIn("Status", found)

    def test_name_and_privilege(self):
        container = self.created("true", name="py-named", host_privileged=True)
        facts = self.api.inspect_container(container)
        self.assertEqual(facts["Name"], "/py-named")
        self.assertIs(facts["HostConfig"]["Privileged"], True)
        with self.assertRaises(docker.errors.APIError) as caught:
            self.api.create_container(IMAGE, "true", name="py-named")
        self.assertEqual(caught.exception.status_code, 409)

    def test_host_pid_mode(self):
        container = self.started("true", host_pid_mode="host", host_network_mode="none")
        self.assertEqual(self.api.inspect_container(container)["HostConfig"]["PidMode"], "host")

    def test_uts_mode(self):
        container = self.created("true", host_uts_mode="host")
        self.assertEqual(self.api.inspect_container(container)["HostConfig"]["UTSMode"], "host")

    def test_one_that_always_restarts_is_removed_by_force_only(self):
        container = self.started("sleep 30", host_restart_policy={"Name": "always"})
        with self.assertRaises(docker.errors.APIError) as caught:
            self.api.remove_container(container)
        self.assertEqual(caught.exception.status_code, 409)
        self.assertIn("cannot remove container", caught.exception.explanation)
        self.api.remove_container(container, force=True)

    def test_volumes_from(self):
        names = ["py-data-0", "py-data-1"]
        for index, name in enumerate(names):
            self.started("true", name=name, volumes=[f"/data{index}"])
        container = self.started("cat", host_volumes_from=names, host_network_mode="none")
        facts = self.api.inspect_container(container)
        self.assertEqual(facts["HostConfig"]["VolumesFrom"], names)
        self.assertEqual({mount["Destination"] for mount in facts["Mounts"]}, {"/data0", "/data1"})

    def test_read_only_root(self):
        _, status = self.ended("mkdir /there", host_read_only=True, host_network_mode="none")
        self.assertNotEqual(status, 0)

    def test_mac_address(self):
        container = self.started("cat", mac_address="02:42:ac:11:00:0a")
        settings = self.api.inspect_container(container)["NetworkSettings"]
        self.assertEqual(settings["MacAddress"], "02:42:ac:11:00:0a")

    def test_groups(self):
        for groups in ([1000, 1001], ["1000", "1001"]):
            container, _ = self.ended("id -G", host_group_add=groups)
            self.assertLessEqual({b"1000", b"1001"}, set(self.api.logs(container).split()))

    def test_log_drivers(self):
        for kind, options in (("json-file", {"max-file": "100"}), ("", {"max-file": "100"}), ("json-file", None)):
            container = self.created("true", host_log_config=LogConfig(type=kind, config=options))
            shown = self.api.inspect_container(container)["HostConfig"]["LogConfig"]
            self.assertEqual(shown, {"Type": "json-file", "Config": options or {}})
        with self.assertRaises(docker.errors.APIError) as caught:
            self.started("true", host_log_config=LogConfig(type="asdf-nope", config={}))
        self.assertEqual(
            caught.exception.explanation, 'error looking up logging plugin asdf-nope: plugin "asdf-nope" not found'
        )

    def test_limits(self):
        container = self.started(
            "cat", host_mem_limit="70M", host_memswap_limit="1G", host_mem_swappiness=40, host_pids_limit=50,
            host_cpu_shares=512, host_cpu_period=100000, host_cpu_quota=50000, host_cpuset_cpus="0",
            host_ulimits=[docker.types.Ulimit(name="nofile", soft=100, hard=200)], host_oom_score_adj=100,
            host_shm_size="8M",
        )
        shown = self.api.inspect_container(container)["HostConfig"]
        self.assertEqual(shown["Memory"], 70 << 20)
        self.assertEqual(shown["MemorySwap"], 1 << 30)
        self.assertEqual(shown["CpuQuota"], 50000)
        self.assertEqual(shown["PidsLimit"], 50)
        self.assertEqual(shown["ShmSize"], 8 << 20)
        self.assertEqual(shown["Ulimits"], [{"Name": "nofile", "Soft": 100, "Hard": 200}])

    def test_environment(self):
        container = self.created("true", environment={"Foo": None, "Other": "one", "Blank": ""})
        shown = self.api.inspect_container(container)["Config"]["Env"]
        self.assertLessEqual({"Foo", "Other=one", "Blank="}, set(shown))

    def test_options_are_shown_as_given(self):
        container = self.created(
            "true", stop_timeout=25, stop_signal="SIGINT", labels={"one": "1"}, hostname="host", domainname="domain",
            user="nobody", working_dir="/tmp", host_tmpfs={"/tmp1": "size=3M"}, host_isolation="default",
            host_auto_remove=True, host_init=True, host_dns=["1.1.1.1"], host_extra_hosts={"far": "1.2.3.4"},
            host_cap_add=["NET_ADMIN"], host_cap_drop=["CHOWN"], host_security_opt=["no-new-privileges"],
            host_sysctls={"net.ipv4.ip_forward": "1"}, host_devices=["/dev/null:/dev/nothing:rw"],
        )
        facts = self.api.inspect_container(container)
        config, host = facts["Config"], facts["HostConfig"]
        self.assertEqual(config["StopTimeout"], 25)
        self.assertEqual(config["StopSignal"], "SIGINT")
        self.assertEqual(config["Labels"], {"one": "1"})
        self.assertEqual((config["Hostname"], config["Domainname"]), ("host", "domain"))
        self.assertEqual(host["Tmpfs"], {"/tmp1": "size=3M"})
        self.assertEqual(host["Isolation"], "default")
        self.assertIs(host["AutoRemove"], True)
        self.assertIs(host["Init"], True)
        self.assertEqual(host["ExtraHosts"], ["far:1.2.3.4"])
        self.assertEqual(
            host["Devices"], [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "rw"}]
        )
        self.api.start(container)

    def test_device_rules(self):
        container = self.created("true", host_device_cgroup_rules=["c 42:* rwm"])
        self.assertEqual(self.api.inspect_container(container)["HostConfig"]["DeviceCgroupRules"], ["c 42:* rwm"])


class Mounting(Case):
    def setUp(self):
        super().setUp()
        self.origin = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.origin)
        with open(os.path.join(self.origin, "there"), "w", encoding="ascii") as file:
            file.write("content\n")

    def test_binds(self):
        for mode in ("rw", "ro"):
            binds = {self.origin: {"bind": "/mnt", "mode": mode}}
            container, _ = self.ended("cat /mnt/there", host_binds=binds, volumes=["/mnt"])
            self.assertEqual(self.api.logs(container), b"content\n")
            [mount] = self.api.inspect_container(container)["Mounts"]
            self.assertEqual((mount["Source"], mount["RW"]), (self.origin, mode == "rw"))
            _, status = self.ended("touch /mnt/new", host_binds=binds)
            self.assertEqual(status == 0, mode == "rw")

    def test_a_single_file(self):
        file = os.path.join(self.origin, "there")
        for mode in ("rw", "ro"):
            container, status = self.ended("cat /new-name", host_binds=[f"{file}:/new-name:{mode}"])
            self.assertEqual((status, self.api.logs(container)), (0, b"content\n"))

    def test_mounts(self):
        for read_only in (False, True):
            mount = Mount(type="bind", source=self.origin, target="/mnt", read_only=read_only)
            container, _ = self.ended("ls /mnt", host_mounts=[mount])
            self.assertIn(b"there", self.api.logs(container))
            [shown] = self.api.inspect_container(container)["Mounts"]
            self.assertEqual((shown["Source"], shown["RW"]), (self.origin, not read_only))

    def test_volume(self):
        mount = Mount(type="volume", source="py-volume", target="/data", labels={"a": "b"})
        self.ended("sh -c 'echo kept >/data/file'", host_mounts=[mount])
        container, _ = self.ended("cat /data/file", host_binds=["py-volume:/data"])
        self.assertEqual(self.api.logs(container), b"kept\n")
        [shown] = self.api.inspect_container(container)["Mounts"]
        self.assertEqual((shown["Type"], shown["Name"]), ("volume", "py-volume"))
        self.assertEqual(self.client.volumes.get("py-volume").attrs["Labels"], {"a": "b"})
        for each in self.api.containers(all=True, filters={"volume": "py-volume"}):
            self.remove(each["Id"])
        self.client.volumes.get("py-volume").remove()

    def test_tmpfs(self):
        mount = Mount(type="tmpfs", source=None, target="/fast", tmpfs_size="2M", tmpfs_mode=0o1770)
        container, _ = self.ended("grep ' /fast ' /proc/mounts", host_mounts=[mount])
        self.assertIn(b"size=2048k", self.api.logs(container))

    def test_a_source_that_is_not_there(self):
        with self.assertRaises(docker.errors.APIError) as caught:
            self.created("true", host_mounts=[Mount(type="bind", source="/not/there", target="/mnt")])
        self.assertEqual(caught.exception.status_code, 400)
        self.assertIn("bind source path does not exist", caught.exception.explanation)


class Living(Case):
    def test_rename(self):
        container = self.created("true")
        self.api.rename(container, "py-renamed")
        self.assertEqual(self.api.inspect_container(container)["Name"], "/py-renamed")

    def test_start_takes_what_create_gave(self):
        container = self.api.create_container(IMAGE, "true")
        self.addCleanup(self.remove, container["Id"])
        self.api.start(container)
        self.assertEqual(self.api.wait(container)["StatusCode"], 0)
        self.assertEqual(self.state(container)["ExitCode"], 0)

    def test_command_lines(self):
        for command in ("true", 'echo "a & b"', '/bin/sh -c "echo x"', "echo \"\\\"quoted\\\"\"", 'true && echo "x"'):
            self.assertEqual(self.ended(command)[1], 0, command)

    def test_wait(self):
        container, status = self.ended("sh -c 'sleep 0.2; exit 3'")
        self.assertEqual(status, 3)
        state = self.state(container)
        self.assertEqual((state["Running"], state["ExitCode"]), (False, 3))

    def test_wait_for_removal(self):
        container = self.created("true")
        with self.assertRaises(requests.exceptions.RequestException):
            self.api.wait(container, condition="removed", timeout=0.5)
        passing = self.started("sleep 0.3", host_auto_remove=True)
        self.assertEqual(self.api.wait(passing, condition="removed", timeout=10)["StatusCode"], 0)

    def test_wait_for_the_next_exit(self):
        container = self.created("sh -c 'exit 4'")
        threading.Timer(0.2, self.api.start, [container]).start()
        self.assertEqual(self.api.wait(container, condition="next-exit", timeout=10)["StatusCode"], 4)

    def test_stop(self):
        container = self.started("sleep 9999")
        self.api.stop(container, timeout=0)
        self.assertIs(self.state(container)["Running"], False)
        self.api.stop(container)

    def test_kill(self):
        for signal in (None, 9, "SIGKILL", "KILL"):
            container = self.started("sleep 9999")
            self.api.kill(container, signal=signal)
            self.assertEqual(self.api.wait(container)["StatusCode"], 137)
            self.assertIs(self.state(container)["Running"], False)
        with self.assertRaises(docker.errors.APIError) as caught:
            self.api.kill(container)
        self.assertEqual(caught.exception.status_code, 409)

    def test_a_signal_that_is_caught(self):
        container = self.started(["sh", "-c", "trap 'exit 7' TERM; echo set; while :; do sleep 0.1; done"])
        self.eventually(lambda: self.api.logs(container) == b"set\n")
        self.api.kill(container, signal="SIGTERM")
        self.assertEqual(self.api.wait(container)["StatusCode"], 7)

    def test_restart(self):
        container = self.started("sleep 9999")
        before = self.state(container)
        self.api.restart(container, timeout=0)
        after = self.state(container)
        self.assertIs(after["Running"], True)
        self.assertNotEqual(before["StartedAt"], after["StartedAt"])
        self.assertNotEqual(before["Pid"], after["Pid"])
        self.assertLess(before["StartedAt"], after["StartedAt"])

    def test_remove(self):
        container, _ = self.ended("true")
        self.api.remove_container(container)
        self.assertNotIn(container, [each["Id"] for each in self.api.containers(all=True)])
        running = self.started("sleep 9999")
        self.api.remove_container(running, force=True)
        with self.assertRaises(docker.errors.NotFound):
            self.api.inspect_container(running)

    def test_pause(self):
        container = self.started("sleep 9999")
        self.api.pause(container)
        state = self.state(container)
        self.assertEqual((state["Running"], state["Paused"], state["Status"]), (True, True, "paused"))
        self.api.unpause(container)
        self.assertIs(self.state(container)["Paused"], False)

    def test_top(self):
        container = self.started("sleep 60")
        shown = self.api.top(container)
        self.assertEqual(shown["Titles"], ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"])
        self.assertEqual(len(shown["Processes"]), 1)
        self.assertEqual(shown["Processes"][0][-1], "sleep 60")
        self.assertIn("%CPU", self.api.top(container, "waux")["Titles"])

    def test_ports(self):
        bindings = {"1111": ("127.0.0.1", None), "2222/udp": ("127.0.0.1", None), 3333: None}
        container = self.started("sleep 60", ports=[1111, (2222, "udp"), 3333], host_port_bindings=bindings)
        [tcp] = self.api.port(container, 1111)
        self.assertEqual(tcp["HostIp"], "127.0.0.1")
        [udp] = self.api.port(container, "2222/udp")
        self.assertGreater(int(udp["HostPort"]), 0)
        self.assertGreater(int(self.api.port(container, 3333)[0]["HostPort"]), 0)
        self.assertIsNone(self.api.port(container, 4444))

    def test_prune(self):
        container, _ = self.ended("true", labels={"prune": "me"})
        self.assertIn(container, self.api.prune_containers({"label": ["prune=me"]})["ContainersDeleted"])

    def test_update(self):
        container = self.created("true", host_restart_policy={"Name": "on-failure", "MaximumRetryCount": 3})
        self.api.update_container(container, restart_policy={"Name": "no"})
        self.assertEqual(self.api.inspect_container(container)["HostConfig"]["RestartPolicy"]["Name"], "no")


class Logging(Case):
    def test_text(self):
        container, _ = self.ended("echo a line")
        self.assertEqual(self.api.logs(container), b"a line\n")
        self.assertEqual(self.api.logs({"Id": container}), b"a line\n")
        self.assertEqual(self.api.logs(container, stdout=False), b"")
        self.assertRegex(self.api.logs(container, timestamps=True), rb"^20\d\d-\d\d-\d\dT[\d:.]{18}Z a line\n$")

    def test_tail(self):
        container, _ = self.ended(["printf", "one\ntwo\n"])
        self.assertEqual(self.api.logs(container, tail=1), b"two\n")
        self.assertEqual(self.api.logs(container, tail=0), b"")
        self.assertEqual(self.api.logs(container, tail="all"), b"one\ntwo\n")

    def test_follow(self):
        container = self.started(["sh", "-c", "echo one; sleep 0.3; echo two"])
        self.assertEqual(list(self.api.logs(container, stream=True, follow=True)), [b"one\n", b"two\n"])

    def test_until_and_since(self):
        container, _ = self.ended("echo x")
        self.assertEqual(self.api.logs(container, until=1), b"")
        self.assertEqual(self.api.logs(container, until=int(time.time()) + 5), b"x\n")
        self.assertEqual(self.api.logs(container, since=int(time.time()) + 5), b"")
        self.assertEqual(self.api.logs(container, since=1), b"x\n")

    def test_a_stream_can_be_given_up(self):
        container = self.started(["sh", "-c", "echo one; echo two; sleep 100"])
        stream = self.api.logs(container, stream=True, follow=True)
        threading.Timer(0.5, stream.close).start()
        self.assertEqual(list(stream), [b"one\n", b"two\n"])

    def test_terminal(self):
        container, _ = self.ended("echo x", tty=True)
        self.assertEqual(self.api.logs(container), b"x\r\n")


class Attaching(Case):
    def test_stream(self):
        container = self.created(["sh", "-c", "echo hello"])
        stream = self.api.attach(container, stdout=True, stderr=True, stream=True)
        self.api.start(container)
        self.assertEqual(b"".join(stream), b"hello\n")

    def test_no_stream(self):
        container, _ = self.ended("echo hello")
        # The SDK loses what comes in one piece with the answer's head, with Docker's engine more often.
        self.eventually(lambda: self.api.attach(container, stream=False, logs=True) == b"hello\n")

    def test_socket(self):
        container = self.created(["sh", "-c", "echo -n hello"])
        socket = self.api.attach_socket(container)
        self.addCleanup(socket.close)
        self.api.start(container)
        self.assertEqual(next_frame_header(socket), (1, 5))
        self.assertEqual(read_exactly(socket, 5), b"hello")

    def test_stdin(self):
        container = self.created("wc -c", stdin_open=True, host_network_mode="none")
        socket = self.api.attach_socket(container, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        self.addCleanup(socket.close)
        self.api.start(container)
        socket._sock.sendall(b"x" * 100_000)
        socket._sock.shutdown(1)
        self.assertEqual(self.api.wait(container, timeout=10)["StatusCode"], 0)
        self.assertEqual(self.api.logs(container).strip(), b"100000")

    def detaches(self, keys, **parameters):
        container = self.started("cat", tty=True)
        asked = {"stdin": 1, "stdout": 1, "stream": 1, **parameters}
        socket = self.api.attach_socket(container, asked)
        self.addCleanup(socket.close)
        self.leaves(socket, keys)
        self.assertIs(self.state(container)["Running"], True)

    def leaves(self, socket, keys):
        socket._sock.settimeout(10)
        socket._sock.sendall(b"before\n")
        seen = b""
        while b"before\r\nbefore" not in seen:
            seen += socket._sock.recv(100)
        for key in keys:
            socket._sock.sendall(key)
        with contextlib.suppress(ConnectionResetError):
            while socket._sock.recv(100):
                pass

    def test_detach(self):
        self.detaches([b"\x10", b"\x11"])

    def test_detach_by_other_keys(self):
        self.detaches([b"\x18"], detachKeys="ctrl-x")

    def test_detach_by_keys_of_the_configuration(self):
        self.api._general_configs["detachKeys"] = "ctrl-p"
        self.detaches([b"\x10"])

    def test_detach_from_exec(self):
        container = self.started("cat")
        created = self.api.exec_create(container, "cat", stdin=True, tty=True, stdout=True, detach_keys="ctrl-x")
        socket = self.api.exec_start(created, tty=True, socket=True)
        self.addCleanup(socket.close)
        self.leaves(socket, [b"\x18"])


class Executing(Case):
    def execute(self, command, container=None, start=None, **options):
        container = container or self.started("cat")
        created = self.api.exec_create(container, command, **options)
        return self.api.exec_start(created, **(start or {}))

    def test_output(self):
        container = self.started("cat")
        self.assertEqual(self.execute(["echo", "hello"], container), b"hello\n")
        self.assertEqual(self.execute("echo hello world", container), b"hello world\n")
        self.assertEqual(self.execute("id -un", container), b"root\n")
        self.assertEqual(self.execute("id -un", container, user="nobody"), b"nobody\n")
        self.assertEqual(self.execute("pwd", container, workdir="/tmp"), b"/tmp\n")
        self.assertIn(b"X=Y\n", self.execute("env", container, environment=["X=Y"]))
        self.assertEqual(b"".join(self.execute(["printf", "a\nb\n"], container, {"stream": True})), b"a\nb\n")
        self.assertEqual(self.execute("echo x", container, {"detach": True}), "")
        self.assertIn(b"000001", self.execute("grep CapEff /proc/self/status", container, privileged=True))

    def test_streams_apart(self):
        container = self.started("cat")
        command = ["sh", "-c", "echo out; sleep 0.3; echo err >&2"]
        for tty, together, apart in (
            (False, [b"out\n", b"err\n"], [(b"out\n", None), (None, b"err\n")]),
            (True, [b"out\r\n", b"err\r\n"], [(b"out\r\n", None), (b"err\r\n", None)]),
        ):
            # The client does not say at the start that there is a terminal, and reads frames.
            run = lambda **start: self.execute(command, container, start, tty=tty)
            self.assertEqual(run(), b"".join(together))
            self.assertEqual(list(run(stream=True)), together)
            self.assertEqual(list(run(stream=True, demux=True)), apart)

    def test_socket(self):
        socket = self.execute(["printf", "interactive"], start={"socket": True}, tty=True)
        self.addCleanup(socket.close)
        self.assertEqual(next_frame_header(socket), (1, 11))
        self.assertEqual(read_exactly(socket, 11), b"interactive")

    def test_inspect(self):
        container = self.started("cat")
        created = self.api.exec_create(container, ["mkdir", "/does/not/exist"])
        self.assertIs(self.api.exec_inspect(created)["Running"], False)
        self.api.exec_start(created)
        facts = self.api.exec_inspect(created)
        self.assertNotEqual(facts["ExitCode"], 0)
        self.assertEqual(facts["ContainerID"], container)
        self.assertEqual(facts["ProcessConfig"]["entrypoint"], "mkdir")
        self.assertEqual(facts["ProcessConfig"]["arguments"], ["/does/not/exist"])

    def test_resize(self):
        container = self.started("cat")
        created = self.api.exec_create(container, ["sh", "-c", "sleep 0.5; stty size"], tty=True)
        stream = self.api.exec_start(created, tty=True, stream=True)
        self.api.exec_resize(created, height=33, width=77)
        self.assertEqual(b"".join(stream).strip(), b"33 77")

    def test_proxies(self):
        self.api._proxy_configs = ProxyConfig(ftp="a", https="b", http="c", no_proxy="d")
        seen = self.execute("env", environment={"https_proxy": "xxx"}).split(b"\n")
        self.assertLessEqual({b"ftp_proxy=a", b"FTP_PROXY=a", b"https_proxy=xxx", b"no_proxy=d"}, set(seen))

    def test_not_in_a_stopped_one(self):
        container = self.created("true")
        with self.assertRaises(docker.errors.APIError) as caught:
            self.api.exec_create(container, "true")
        self.assertEqual(caught.exception.status_code, 409)
        self.assertIn("is not running", caught.exception.explanation)


class Models(Case):
    def test_run(self):
        run = self.client.containers.run
        self.assertEqual(run(IMAGE, "echo hello world", remove=True), b"hello world\n")
        self.assertEqual(run(IMAGE, "sh -c 'echo hello; sleep 0.5'", auto_remove=True), b"hello\n")
        self.assertEqual(run(IMAGE, ["sh", "-c", "echo out; echo err >&2"], stdout=False, stderr=True, remove=True), b"err\n")
        self.assertEqual(list(run(IMAGE, "printf 'a\\nb\\n'", stream=True, remove=True)), [b"a\n", b"b\n"])
        self.assertIsNone(run(IMAGE, "echo x", log_config={"type": "none"}, remove=True))

    def test_errors(self):
        with self.assertRaises(docker.errors.ContainerError) as caught:
            self.client.containers.run(IMAGE, "cat /test", remove=True)
        self.assertEqual(caught.exception.exit_status, 1)
        self.assertIn(b"No such file or directory", caught.exception.stderr)
        with self.assertRaises(docker.errors.NotFound):
            self.client.containers.get("py-not-there")
        with self.assertRaises(docker.errors.ImageNotFound):
            self.client.images.get("py-not-there")
        with self.assertRaises(docker.errors.APIError) as caught:
            self.addCleanup(self.remove, "py-no-command")
            self.client.containers.run(IMAGE, "nosuchcommand", name="py-no-command")
        self.assertEqual(caught.exception.status_code, 400)
        self.assertIn('exec: "nosuchcommand": executable file not found', caught.exception.explanation)

    def test_attributes(self):
        container = self.run_detached("sleep 300", labels={"py": "model"}, ports={"2222/tcp": None})
        self.assertEqual(container.attrs["Config"]["Image"], IMAGE)
        self.assertEqual(container.attrs["Config"]["Cmd"], ["sleep", "300"])
        container.reload()
        self.assertEqual(container.status, "running")
        self.assertEqual(container.labels, {"py": "model"})
        self.assertEqual(container.image, self.client.images.get(IMAGE))
        self.assertEqual(list(container.ports), ["2222/tcp"])
        self.assertEqual({key for each in container.ports["2222/tcp"] for key in each}, {"HostIp", "HostPort"})
        self.assertEqual([each.id for each in self.client.containers.list(filters={"label": "py=model"})], [container.id])
        [sparse] = self.client.containers.list(sparse=True, filters={"name": container.name})
        self.assertEqual((sparse.status, sparse.attrs["Image"]), ("running", IMAGE))
        self.assertEqual(self.client.containers.get(container.short_id).id, container.id)
        self.assertEqual(list(container.attrs["NetworkSettings"]["Networks"]), ["bridge"])
        container.kill()
        container.reload()
        self.assertEqual(container.status, "exited")

    def test_several_ports(self):
        container = self.run_detached("sleep 300", ports={"2222/tcp": [0, 0], "3333/tcp": ("127.0.0.1", 0)})
        container.reload()
        self.assertEqual(sorted(container.ports), ["2222/tcp", "3333/tcp"])
        self.assertTrue(all(int(each["HostPort"]) > 0 for port in container.ports.values() for each in port))

    def test_exec_run(self):
        container = self.run_detached(["sh", "-c", "echo hello >/test; sleep 60"])
        self.eventually(lambda: container.exec_run("cat /test") == (0, b"hello\n"))
        self.assertIn(container.exec_run("not-there")[0], (126, 127))
        self.assertEqual(container.exec_run(["sh", "-c", "echo a; echo b >&2"], demux=True).output, (b"a\n", b"b\n"))
        code, stream = container.exec_run(["sh", "-c", "echo a"], stream=True)
        self.assertEqual((code, list(stream)), (None, [b"a\n"]))

    def test_life(self):
        container = self.client.containers.create(IMAGE, "sleep 50", name="py-model")
        self.addCleanup(self.remove, container.id)
        self.assertEqual(container.status, "created")
        seen = []
        for step in (container.start, container.pause, container.unpause, lambda: container.restart(timeout=0)):
            step()
            container.reload()
            seen.append(container.status)
        self.assertEqual(seen, ["running", "paused", "running", "running"])
        container.rename("py-model-2")
        container.stop(timeout=0)
        self.assertEqual(container.wait()["StatusCode"], 137)
        container.reload()
        self.assertEqual((container.name, container.status), ("py-model-2", "exited"))
        container.remove()
        self.assertNotIn(container.id, [each.id for each in self.client.containers.list(all=True)])


class Networks(Case):
    def network(self, name="py-net", **options):
        network = self.client.networks.create(name, **options)
        self.addCleanup(self.remove_network, network.id)
        return network

    def remove_network(self, network):
        with contextlib.suppress(docker.errors.NotFound):
            self.api.remove_network(network)

    def pools(self, subnet, **options):
        return docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet=subnet, **options)])

    def test_create_with_all_there_is(self):
        ipam = docker.types.IPAMConfig(
            driver="default",
            options={"mine": "1"},
            pool_configs=[
                docker.types.IPAMPool("10.93.1.0/24", "10.93.1.128/25", "10.93.1.254", {"router": "10.93.1.129"}),
                docker.types.IPAMPool("fd93:1::/64"),
            ],
        )
        network = self.network(
            driver="bridge",
            options={"com.docker.network.driver.mtu": "1280"},
            ipam=ipam,
            check_duplicate=True,
            internal=True,
            labels={"py": "net"},
            enable_ipv6=True,
            attachable=True,
            scope="local",
        )
        attrs = network.attrs
        self.assertEqual((attrs["Driver"], attrs["Scope"], attrs["Internal"]), ("bridge", "local", True))
        self.assertEqual((attrs["EnableIPv6"], attrs["Attachable"], attrs["Ingress"]), (True, True, False))
        self.assertEqual(attrs["Options"], {"com.docker.network.driver.mtu": "1280"})
        self.assertEqual(attrs["Labels"], {"py": "net"})
        self.assertEqual(attrs["IPAM"]["Options"], {"mine": "1"})
        four, six = attrs["IPAM"]["Config"]
        self.assertEqual(
            four,
            {
                "Subnet": "10.93.1.0/24",
                "IPRange": "10.93.1.128/25",
                "Gateway": "10.93.1.254",
                "AuxiliaryAddresses": {"router": "10.93.1.129"},
            },
        )
        self.assertEqual(six["Subnet"], "fd93:1::/64")

    def test_refusals(self):
        network = self.network(ipam=self.pools("10.93.2.0/24"))
        for options, status, words in (
            ({"name": "py-net"}, 409, "network with name py-net already exists"),
            ({"name": "py-two", "driver": "nosuch"}, 404, 'plugin "nosuch" not found'),
            ({"name": "py-two", "ipam": self.pools("nonsense")}, 400, "invalid subnet nonsense: invalid CIDR block notation"),
            ({"name": "py-two", "ipam": self.pools("10.93.2.128/25")}, 403, "Pool overlaps with other one"),
            ({"name": "host"}, 403, "operation is not permitted on predefined host network"),
            ({"name": ""}, 400, "invalid name"),
        ):
            with self.assertRaises(docker.errors.APIError) as caught:
                self.client.networks.create(**options)
            self.assertEqual((caught.exception.status_code, words in caught.exception.explanation), (status, True), words)
        with self.assertRaises(docker.errors.NotFound):
            self.client.networks.get("py-nosuch")
        with self.assertRaises(docker.errors.APIError) as caught:
            self.api.remove_network("bridge")
        self.assertEqual(caught.exception.status_code, 403)
        container = self.started("sleep 60")
        for change in (
            lambda: network.disconnect(container),
            lambda: network.connect(container, ipv4_address="10.94.0.1"),
            lambda: network.connect("py-nosuch"),
        ):
            with self.assertRaises(docker.errors.APIError):
                change()
        network.connect(container)
        with self.assertRaises(docker.errors.APIError) as caught:
            network.remove()
        self.assertEqual(caught.exception.status_code, 403)
        self.assertIn("has active endpoints", caught.exception.explanation)

    def test_lists(self):
        network = self.network(labels={"py": "list"})
        names = [each.name for each in self.client.networks.list()]
        self.assertEqual({"bridge", "host", "none", "py-net"} - set(names), set())
        for options in ({"names": ["py-net"]}, {"ids": [network.id]}, {"filters": {"label": "py=list"}}):
            self.assertEqual([each.id for each in self.client.networks.list(**options)], [network.id])
        self.assertEqual(self.client.networks.list(filters={"label": "py=other"}), [])
        self.assertIn(network, self.client.networks.list(filters={"type": "custom", "driver": "bridge"}))
        self.assertIn(network, self.client.networks.list(filters={"dangling": True}))
        self.assertEqual(self.client.networks.get(network.short_id, scope="local", verbose=False), network)
        [listed] = self.client.networks.list(names=["py-net"], greedy=True)
        self.assertEqual(listed.containers, [])

    def test_connect_with_all_there_is(self):
        ipam = docker.types.IPAMConfig(
            pool_configs=[docker.types.IPAMPool("10.93.3.0/24"), docker.types.IPAMPool("fd93:3::/64")]
        )
        network = self.network(ipam=ipam, enable_ipv6=True)
        other = self.started("sleep 60", name="py-other")
        container = self.started("sleep 60", name="py-connected")
        network.connect(other)
        network.connect(
            container,
            aliases=["one", "two"],
            links={"py-other": "linked"},
            ipv4_address="10.93.3.9",
            ipv6_address="fd93:3::9",
            link_local_ips=["169.254.3.3"],
            driver_opt={"com.docker.network.endpoint.ifname": "mine0"},
        )
        network.reload()
        self.assertEqual({each.name for each in network.containers}, {"py-other", "py-connected"})
        shown = network.attrs["Containers"][container]
        self.assertEqual(
            (shown["Name"], shown["IPv4Address"], shown["IPv6Address"]),
            ("py-connected", "10.93.3.9/24", "fd93:3::9/64"),
        )
        place = self.api.inspect_container(container)["NetworkSettings"]["Networks"]["py-net"]
        self.assertEqual((place["Aliases"], place["Links"]), (["one", "two"], ["py-other:linked"]))
        self.assertEqual((place["IPAddress"], place["GlobalIPv6Address"]), ("10.93.3.9", "fd93:3::9"))
        self.assertEqual(place["DNSNames"][:3], ["py-connected", "one", "two"])
        for question, answer in (("linked", "Address: 10.93.3."), ("py-other", "Address: 10.93.3.")):
            said = self.client.containers.get(container).exec_run(["nslookup", "-type=a", question]).output
            self.assertIn(answer, said.decode())
        mac = self.client.containers.get(container).exec_run("cat /sys/class/net/mine0/address").output
        self.assertEqual(mac.decode().strip(), shown["MacAddress"])
        network.disconnect(container, force=True)
        self.assertNotIn("py-net", self.api.inspect_container(container)["NetworkSettings"]["Networks"])
        network.disconnect(other)
        network.remove()
        self.assertEqual(self.client.networks.list(names=["py-net"]), [])

    def test_create_a_container_on_it(self):
        network = self.network(ipam=self.pools("10.93.4.0/24"))
        config = self.api.create_networking_config(
            {"py-net": self.api.create_endpoint_config(ipv4_address="10.93.4.7", aliases=["seven"])}
        )
        container = self.created("sleep 60", networking_config=config, host_network_mode="py-net")
        self.assertEqual(self.client.networks.get("py-net").containers, [])
        self.api.start(container)
        place = self.api.inspect_container(container)["NetworkSettings"]["Networks"]["py-net"]
        self.assertEqual((place["IPAddress"], place["Aliases"], place["NetworkID"]), ("10.93.4.7", ["seven"], network.id))
        run = self.run_detached("sleep 60", network="py-net")
        self.assertIn("py-net", run.attrs["NetworkSettings"]["Networks"] or {"py-net": None})
        self.assertEqual([each.id for each in self.client.containers.list(filters={"network": "py-net"})], [run.id, container])

    def test_prune(self):
        self.network("py-unused", labels={"py": "prune"})
        self.network("py-used", labels={"py": "prune"})
        self.run_detached("sleep 60", network="py-used")
        pruned = self.client.networks.prune(filters={"label": "py=prune"})
        self.assertEqual(pruned, {"NetworksDeleted": ["py-unused"]})
        self.assertIsNone(self.client.networks.prune(filters={"label": "py=prune"})["NetworksDeleted"])

    def test_events(self):
        since = int(time.time()) - 1
        network = self.network()
        container = self.started("sleep 60")
        network.connect(container)
        network.disconnect(container)
        network.remove()
        seen = []
        for event in self.client.events(decode=True, since=since, until=int(time.time()) + 1, filters={"network": network.id}):
            seen.append((event["Action"], event["Actor"]["Attributes"]["name"], event["Actor"]["Attributes"].get("container")))
        expected = [("create", None), ("connect", container), ("disconnect", container), ("destroy", None)]
        self.assertEqual(seen, [(action, "py-net", who) for action, who in expected])


class Events(Case):
    def test_a_life(self):
        since = int(time.time())
        events = self.client.events(decode=True, filters={"type": "container"})
        container = self.started("sh -c 'exit 3'", name="py-events", labels={"of": "events"})
        self.api.wait(container)
        self.api.remove_container(container)
        seen = []
        for event in events:
            if event["Actor"]["ID"] == container:
                seen.append(event)
            if event["Action"] == "destroy":
                break
        events.close()
        self.assertEqual([event["Action"] for event in seen], ["create", "start", "die", "destroy"])
        for event in seen:
            attributes = event["Actor"]["Attributes"]
            self.assertEqual((attributes["name"], attributes["image"], attributes["of"]), ("py-events", IMAGE, "events"))
            self.assertEqual(event["timeNano"] // 10**9, event["time"])
        self.assertEqual(seen[2]["Actor"]["Attributes"]["exitCode"], "3")
        again = self.client.events(decode=True, since=since, until=int(time.time()) + 1, filters={"container": "py-events"})
        self.assertEqual([event["Action"] for event in again], ["create", "start", "die", "destroy"])

    def test_of_what_is_looked_at(self):
        container = self.started("cat", name="py-looked-at")
        since = time.time()
        self.api.attach_socket(container).close()
        self.api.top(container)
        self.api.exec_start(self.api.exec_create(container, "true"))
        until = int(time.time()) + 2
        events = self.client.events(decode=True, since=int(since), until=until, filters={"container": container})
        actions = [event["Action"] for event in events if event["timeNano"] > since * 10**9]
        self.assertEqual(actions, ["attach", "top", "exec_create: true ", "exec_start: true ", "exec_die"])


class Committing(Case):
    def changed(self):
        container, status = self.ended(["sh", "-c", "mkdir /py; echo hello >/py/file; rm /bin/ls"])
        self.assertEqual(status, 0)
        return container

    def test_diff(self):
        diff = self.api.diff(self.changed())
        self.assertEqual(
            [(each["Path"], each["Kind"]) for each in diff],
            [("/bin", 0), ("/bin/ls", 2), ("/py", 1), ("/py/file", 1)],
        )

    def test_commit(self):
        container = self.changed()
        conf = self.api.create_container_config(IMAGE, ["cat", "/py/file"], labels={"py": "conf"})
        answer = self.api.commit(container, "py-image", tag="committed", message="words", author="me", conf=conf)
        self.addCleanup(self.api.remove_image, answer["Id"], force=True)
        image = self.api.inspect_image("py-image:committed")
        self.assertEqual(image["Id"], answer["Id"])
        self.assertEqual(image["Config"]["Labels"], {"py": "conf"})
        self.assertEqual([image["Author"], image["Comment"]], ["me", "words"])
        self.assertEqual(self.client.containers.run("py-image:committed", remove=True), b"hello\n")
        model = self.client.containers.get(container).commit(changes=["ENV A=b", "LABEL l=m"])
        self.addCleanup(self.api.remove_image, model.id, force=True)
        self.assertEqual(model.labels, {"l": "m"})
        self.assertEqual(self.client.images.get(IMAGE).id, model.history()[1]["Id"])

    def test_export(self):
        container = self.changed()
        with tempfile.TemporaryFile() as file:
            for chunk in self.api.export(container):
                file.write(chunk)
            file.seek(0)
            with tarfile.open(fileobj=file) as archive:
                self.assertEqual(archive.extractfile("py/file").read(), b"hello\n")
                self.assertNotIn("bin/ls", archive.getnames())
        data = b"".join(self.client.containers.get(container).export())
        self.assertIn("sha256:", self.api.import_image_from_data(data, repository="py-image", tag="imported"))
        self.addCleanup(self.api.remove_image, "py-image:imported", force=True)
        run = self.client.containers.run("py-image:imported", ["/bin/cat", "/py/file"], remove=True)
        self.assertEqual(run, b"hello\n")

    def test_an_old_api(self):
        old = docker.APIClient(base_url=HOST, version="1.24")
        self.addCleanup(old.close)
        container = self.changed()
        answer = old.commit(container, repository="py-image", tag="old")
        self.addCleanup(self.api.remove_image, answer["Id"], force=True)
        image = old.inspect_image(answer["Id"])
        self.assertEqual(image["Container"], container)
        self.assertEqual(image["ContainerConfig"]["Cmd"][0], "sh")


class System(Case):
    def test_facts(self):
        self.assertTrue(self.client.ping())
        version = self.client.version()
        self.assertLessEqual({"Version", "ApiVersion", "MinAPIVersion", "Os", "Arch", "KernelVersion"}, set(version))
        facts = self.client.info()
        for key in ("Containers", "Images", "Driver", "MemTotal", "NCPU", "ID", "Name", "Plugins", "RegistryConfig"):
            self.assertIn(key, facts)

    def test_images(self):
        image = self.client.images.get(IMAGE)
        self.assertIn("alpine:latest", image.tags)
        self.assertEqual(image.labels, {})
        self.assertTrue(image.tag("py-image", tag="one"))
        self.assertIn("py-image:one", self.client.images.get(image.id).tags)
        self.client.images.remove("py-image:one")
        self.assertEqual(self.client.images.list(name="py-image"), [])

    def test_an_old_api(self):
        old = docker.APIClient(base_url=HOST, version="1.24")
        self.addCleanup(old.close)
        container = old.create_container(IMAGE, "true")
        self.addCleanup(self.remove, container["Id"])
        old.start(container)
        self.assertEqual(old.wait(container)["StatusCode"], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
