/** Brig's command line and the real one, on the same daemon: they say the same. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { brigBinary, run, TestDaemon } from "./support/daemon.ts";

/** Other versions of the client have other words. */
const spoken = Bun.spawnSync(["docker", "--version"]).stdout.toString().startsWith("Docker version 28.2.");

/** Shell scripts. Each leaves behind what it has found. */
const scripts: Record<string, string> = {
  "run and exit codes": `
    docker run --rm alpine sh -c 'echo out; echo err >&2; exit 7'; echo $?
    docker run --rm alpine nosuch; echo $?; docker run --rm alpine /etc/passwd; echo $?
    docker run --rm -i alpine sh -c 'cat; exit 4' <<<'typed'; echo $?
    docker run --rm -t alpine sh -c 'tty; exit 2'; echo $?
    docker run --rm alpine sh -c 'kill -9 $$'; echo $?
    docker run; echo $?; docker run --bad alpine; echo $?; docker run --rm -it alpine true; echo $?
    docker run -d --rm -a stdout alpine true; echo $?`,
  "options that cannot be": `
    docker run --rm -w relative alpine; docker run --rm -u nosuch alpine; docker run --rm -v /a:/b:/c:/d alpine
    docker run --rm -v rel/path:/x alpine; docker run --rm --mount type=bind,source=/nosuch,target=/x alpine
    docker run --rm --mount type=bad,target=/x alpine; docker run --rm --mount type=bind,target=/x alpine
    docker run --rm -p 99999:80 alpine; docker run --rm -p abc alpine; docker run --rm -p 1-3:1 alpine
    docker run --rm --network nosuch alpine; docker run --rm --network container:nosuch alpine
    docker run --rm --dns bad alpine; docker run --rm --add-host a alpine; docker run --rm --pid bad alpine
    docker run --rm --cap-add BAD alpine; docker run --rm --security-opt bad=x alpine
    docker run --rm --device /dev/null:/dev/x:bad alpine; docker run --rm --ulimit nofile=200:100 alpine
    docker run --rm -m bad alpine; docker run --rm --cpus 500 alpine; docker run --rm --restart bad alpine
    docker run --rm --restart always alpine; docker run --rm --stop-signal BAD alpine; docker run --name 'a b' alpine
    docker run --rm BadImage; docker run --rm --pull bad alpine; docker run --rm --volumes-from nosuch alpine
    docker run --rm --log-driver bad alpine; docker run --rm --env-file /nosuch alpine
    docker run --rm --cidfile /etc/passwd alpine; docker run --rm --gpus bad=x alpine`,
  "words for what is not there": `
    docker stop nosuch; docker kill nosuch; docker start nosuch; docker restart nosuch; docker rm nosuch
    docker rm -f nosuch; docker pause nosuch; docker unpause nosuch; docker rename nosuch b; docker wait nosuch
    docker attach nosuch; docker exec nosuch true; docker logs nosuch; docker inspect nosuch; docker top nosuch
    docker container inspect nosuch; docker image inspect nosuch; docker port nosuch; docker tag nosuch a
    docker rmi nosuch; docker inspect --type bad x; docker load -i /nosuch; docker import /nosuch x`,
  "words for each state": `
    docker create --name pp alpine sleep 100; docker exec pp true; docker attach pp; docker top pp; docker kill pp
    docker pause pp; docker unpause pp; docker stop pp; docker ps -a --format '{{.Names}} {{.State}} {{.Networks}}'
    docker start pp; docker rm pp; docker run --name pp alpine; docker rename pp pp; docker port pp; docker pause pp
    docker pause pp; docker exec pp true; docker attach pp; docker start pp; docker rm pp; docker unpause pp
    docker kill -s BAD pp; docker kill -s 99 pp; docker kill -s 0 pp; docker stop -t 0 pp; docker stop pp; docker kill pp
    docker exec pp true; docker attach pp; docker wait pp
    docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}' pp; docker rm pp`,
  exec: `
    docker run -d --name pp alpine sleep 100; docker exec pp nosuch; echo $?; docker exec pp sh -c 'exit 5'; echo $?
    docker exec -w /nosuch pp true; docker exec -u nosuch pp id; docker exec -u nobody pp id; docker exec -d pp nosuch
    docker exec -e A=b pp env | grep ^A; docker exec -it pp true; docker exec -t pp tty; echo in | docker exec -i pp cat
    docker exec; docker exec pp; docker rm -f pp`,
  logs: `
    docker run --name pp -l a=b --log-opt labels=a alpine sh -c 'echo 1; echo 2; echo 3'; docker logs pp
    docker logs --tail 1 pp; docker logs --tail 0 pp; docker logs -f pp; docker logs --details pp; docker logs --since bad pp
    docker logs -t pp | sed 's/[0-9]/9/g'; docker logs --until 2020-01-01 pp; docker logs --since 1h pp; docker rm pp
    docker run --name pp --log-driver none alpine echo x; docker logs pp; docker rm pp`,
  lists: `
    docker run -d --name pp -p 127.0.0.1:0:80 --expose 81 -l a=b alpine sleep 100 | wc -c
    docker ps --no-trunc | cut -c1-12; docker ps --format json | sed 's/"ID.*"//' | wc -l
    docker ps --format 'table {{.Names}}\t{{.Image}}\t{{.Label "a"}}'; docker ps -l --format '{{.Names}}'
    docker ps --filter bad=x; docker ps --filter status=bad; docker ps --filter exited=abc; docker ps --filter x
    docker ps --format '{{.Bad}}'; docker ps --format '{{bad}}'; docker ps --format '{{'; docker ps -n abc
    docker port pp | sed 's/:[0-9]*$//'; docker port pp 81; docker port pp bad; docker top pp | sed 's/[0-9:]//g; s/  */ /g'
    docker images; docker images -q; docker images --no-trunc; docker images -f bad=x; docker images --format json
    docker rm -f pp`,
  inspect: `
    docker run -d --name pp alpine sleep 100 | wc -c
    docker inspect -f '{{.Name}} {{.State.Running}} {{json .Config.Cmd}} {{len .Mounts}}' pp
    docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{$v.IPPrefixLen}}{{end}}' pp
    docker inspect -f '{{.State.Nope}}' pp; docker inspect -f '{{' pp; docker inspect pp nosuch | head -3
    docker inspect pp | sed '/At"/d'; docker inspect --format json pp | wc -l; docker inspect -s alpine | head -1
    docker image inspect alpine; docker rm -f pp`,
  "networks: made, shown, removed": `
    docker network create; docker network create a b; docker network create ''; docker network create host
    docker network create nt1 | wc -c; docker network create nt1; docker network create -d nosuch x
    docker network create --subnet bad x; docker network create --subnet 10.95.1.2/16 x
    docker network create --subnet 10.95.0.0/16 --gateway 10.96.0.1 x; docker network create --gateway 10.95.0.1 x
    docker network create --ip-range 10.95.0.0/24 x; docker network create --aux-address a=10.95.0.1 x
    docker network create --subnet 10.95.0.0/16 --aux-address a=bad x; docker network create --aux-address bad x
    docker network create --subnet 10.95.0.0/16 --ip-range 10.95.5.0/24 --gateway 10.95.0.9 --aux-address a=10.95.5.1 --aux-address b=10.95.5.2 \\
      --ipv6 --subnet fd95::/64 --gateway fd95::9 --label a=b -o x=y -o bad --ipam-opt m=n --attachable --internal nt2 | wc -c
    docker network inspect nt2; docker network create --subnet 10.95.0.128/25 x; docker network create --ipv4=false x
    docker network create --subnet 10.95.0.0/16 --subnet 10.97.0.0/16 --gateway 10.95.0.1 --gateway 10.97.0.1 x
    docker network create --config-only --subnet 10.97.0.0/24 --label t=u tpl | wc -c; docker network create --config-from tpl nt3 | wc -c
    docker network create --config-from tpl --label x=y x; docker network create --config-from nosuch x
    docker network inspect tpl nt3; docker network rm tpl; docker run --rm --network tpl alpine true
    docker network create -d macvlan -o parent=nosuch.1 x; docker network create -d macvlan -o macvlan_mode=bad x
    docker network create -o com.docker.network.driver.mtu=bad x; docker network create --scope swarm x; docker network create --ingress x
    docker network ls; docker network ls -q | wc -l; docker network ls --no-trunc; docker network ls -f type=custom --format '{{json .}}'
    docker network ls -f type=bad; docker network ls -f dangling=bad; docker network ls -f bad=x; docker network ls -f name=nt -f label=a -q | wc -l
    docker network ls -f driver=bridge -f dangling=true --format '{{.Name}} {{.IPv4}} {{.IPv6}} {{.Internal}} {{.Labels}} {{.Label "a"}}'
    docker network ls --format raw; docker network ls --format '{{.Bad}}'; docker network ls x; docker network inspect; docker network inspect nosuch nt1 | sed -n 1,3p
    docker network inspect -f '{{.Nope}}' nt1; docker network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' nt2 bridge | sed -n 1p
    docker network rm; docker network rm nosuch bridge nt1; docker network rm -f nosuch; docker network rm nt2 nt3 tpl
    echo n | docker network prune; docker network create nt4 | wc -c; docker network prune -f --filter label=none; docker network prune -f
    docker network prune -f --filter bad=x; docker network prune -f --filter until=bad; docker network; docker network nosuch`,
  "networks: joined and left": `
    docker network create --subnet 10.95.0.0/24 --ipv6 --subnet fd95::/64 na | wc -c; docker network create nb | wc -c
    docker run -d --name pp --network na alpine sleep 100 | wc -c; docker network connect nb pp; docker network connect nb pp
    docker network connect nosuch pp; docker network connect na nosuch; docker network connect host pp; docker network connect none pp
    docker network connect; docker network connect na; docker network disconnect nosuch pp; docker network disconnect bridge pp
    docker network rm na 2>&1 | sed 's/[0-9a-f]\\{12\\}/ID/'; docker network disconnect nb pp; docker network disconnect nb pp
    docker network connect --ip 10.1.1.1 na pp; docker network connect --ip 10.1.1.1 nb pp; docker network connect --ip bad nb pp
    docker network connect --alias x --alias y --link pp:z --driver-opt a=b --gw-priority 3 nb pp
    docker network connect --gw-priority bad nb pp; docker network connect --link-local-ip bad bridge pp
    docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{json $v.Aliases}} {{json $v.Links}} {{$v.GwPriority}} {{json $v.DriverOpts}} {{json $v.IPAMConfig}}
{{end}}' pp
    docker network inspect -f '{{range .Containers}}{{.Name}}{{end}}' na nb; docker ps --filter network=nb --format '{{.Names}}'
    docker ps --filter network=nosuch -q; docker network disconnect -f na pp; docker network disconnect nb pp; docker exec pp ip -o link | wc -l
    docker inspect -f '{{json .NetworkSettings.Networks}}' pp; docker start pp; docker restart -t 0 pp; docker exec pp ip -o link | wc -l
    docker stop -t 0 pp; docker network connect --ip 10.95.0.77 na pp; docker network rm na; docker start pp; docker network disconnect na pp
    docker network disconnect na pp; docker rm -f pp; docker network rm na nb`,
  "networks: what a container cannot have": `
    docker network create --subnet 10.95.0.0/24 na | wc -c; docker network create nb | wc -c
    for options in '--network na --ip 10.1.1.1' '--network na --ip bad' '--network na --ip6 fd95::1' '--network nb --ip 10.1.1.1' \\
      '--network na --ip 10.95.0.1' '--ip 172.17.0.9' '--network host --ip 1.1.1.1' '--network-alias x' '--network none --network-alias x' \\
      '--network host --network na' '--network na --network na' '--network container:nosuch' '--network container:' \\
      '--network name=na,bad=1' '--network name=na,ip=bad' '--network ip=1.2.3.4' '--network name=na,mac-address=zz' '--mac-address zz' \\
      '--network name=na,mac-address=02:42:00:00:00:01 --mac-address 02:42:00:00:00:02' '--network name=na,gw-priority=x' \\
      '--network name=na,driver-opt=com.docker.network.endpoint.ifname=a/b' '--network nosuch --ip 10.1.1.1' '--link nosuch' '--link a:b:c' \\
      '--network na --link nosuch:x' '--network host --link x' '--network host -p 80:80' '--dns-search .' '--add-host x:bad' '--expose 80-70'
    do echo "$options"; docker run --rm $options alpine true; echo $?; done
    docker network rm na nb`,
  "disk usage": `
    docker create --name pp -v named:/x alpine | wc -c; docker volume create other; docker run --rm -v named:/x alpine sh -c 'echo 12345 >/x/a'
    docker system df; docker system df -v | tr -s ' '; docker system df --format json; docker system df --format '{{.Bad}}' | head -1
    docker system df x; docker volume ls -q; docker rm pp; docker volume rm named other`,
  prune: `
    docker image prune -af --filter until=bad; docker image prune -af --filter bad=x; docker image prune -f
    docker image prune -af --filter label=none; docker system prune -f --filter bad=x
    echo n | docker image prune; echo n | docker image prune -a; echo n | docker system prune
    echo n | docker system prune -a --volumes --filter label=x; docker system prune --volumes --filter until=1h -f
    docker create --name pp -v /x alpine | wc -c; docker system prune -f --volumes --filter label=none; docker rm pp
    docker system prune -f --volumes | sed 's/[0-9a-f]\\{64\\}/ID/'; docker volume prune -f | tail -1; docker images -q | wc -l`,
  "diff, export and commit": `
    docker run --name pp alpine sh -c 'echo a >/a; rm -r /www; rm /bin/ls'; docker diff pp; docker container diff pp
    docker export pp | tar -t | grep -v /; docker export -o /nosuch/x pp; docker export -o /tmp pp; docker export nosuch
    docker diff nosuch; docker diff; docker commit; docker commit nosuch; docker commit pp Bad; docker commit pp a@sha256:x
    docker commit -a me -m words -c 'ENV A=b' -c 'CMD x' pp committed:1; docker commit -c 'FROM x' pp; docker commit '' a
    docker commit -c 'SHELL ["x"]' pp; docker commit -p=false pp committed:2; docker commit --pause=bad pp
    docker history committed:1 | tr -s ' '; docker history -q committed:1 | wc -l; docker history --no-trunc -H=false committed:1
    docker history --format '{{.CreatedBy}} {{.Comment}} {{.Size}}' committed:1; docker image inspect committed:1
    docker run --name qq committed:1 true; docker rm pp; docker rmi committed:1; docker rm qq
    docker rmi committed:1 committed:2`,
  "other commands": `
    docker nosuch; docker container nosuch; docker -x; docker ps x; docker images a b; docker stop
    docker rename a; docker pull; docker pull Bad; docker pull a:b:c; docker pull -a alpine:latest; docker help nosuch
    docker tag alpine sha256:a; docker tag Bad a; docker tag '' a; docker image inspect --platform a/b/c/d alpine
    docker history --platform a/b/c/d alpine; docker save --platform a/b/c/d alpine; docker push --platform a/b/c/d a
    docker rmi --platform a/b/c/d alpine; docker manifest inspect 127.0.0.1:1/x; docker pull scratch
    docker create $(printf %064d 1); docker search --limit -1 127.0.0.1:1/x; docker image prune -f --filter dangling=false
    docker version --format '{{.Bad}}'; docker version --format '{{.Server.Version}}'; docker info --format '{{.Bad}}'
    docker info --format '{{.Driver}} {{.NCPU}}'; docker events --since 1h --until bad; docker logs
    docker -c nosuch ps; docker -l bad ps; DOCKER_API_VERSION=1.20 docker ps; docker -H bad://x ps
    docker -H unix:///nosuch.sock ps; docker -H tcp://127.0.0.1:1 ps`,
  events: `
    docker run --name pp alpine true; docker rm pp; sleep 1
    docker events --since 1m --until 0s --filter container=pp --format '{{.Type}} {{.Action}} {{json .Actor.Attributes}}' |
      tail -5 | sed 's/"execDuration":"[0-9]*"//'`,
};

/** Takes out what differs from one container, or moment, to the next. */
function normalise(text: string): string {
  return text
    .replace(/\b[0-9a-f]{64}\b/g, "ID")
    .replace(/\b[0-9a-f]{12}\b/g, "ID")
    .replace(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?[+-]\d\d:?\d\d( UTC)?|Z)?/g, "TIME")
    .replace(/(\d+|Less than a|About an?) (second|minute|hour)s?( ago)?/g, "AGO")
    .replace(/\b(\d{1,3}\.){3}\d{1,3}\b/g, "ADDRESS")
    .replace(/([0-9a-f]{2}:){5}[0-9a-f]{2}/g, "MAC")
    .replace(/"Pid": \d+|\/proc\/\d+\//g, "PID")
    .replace(/on endpoint \w+/g, "on endpoint NAME");
}

describe.skipIf(!spoken)("the same words from brig and docker", () => {
  const daemon = new TestDaemon();
  let program: string;
  beforeAll(async () => {
    await (await daemon.start()).withImage();
    program = join(daemon.root, "docker");
    symlinkSync(brigBinary, program);
  });
  afterAll(() => daemon.dispose());

  async function outcome(client: string, script: string) {
    const shell = ["bash", "-c", `docker() { command ${client} "$@"; }\n${script}`];
    const { code, stdout, stderr } = await run(shell, { env: { DOCKER_HOST: daemon.host }, stdin: "" });
    return { code, stdout: normalise(stdout).split("\n"), stderr: normalise(stderr).split("\n") };
  }

  test.each(Object.entries(scripts))("%s", async (_, script) => {
    const docker = await outcome("docker", script);
    expect(await outcome(program, script)).toEqual(docker);
  });
});
