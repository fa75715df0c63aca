"""Engines as units of systemd, several behind nginx: on a host with a real systemd and nginx."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioning import front, launch, readiness
from provisioning.command import Secret
from provisioning.deploys import front as front_step
from provisioning.engines.base import API_KEY, PORT, ProcessSpec
from provisioning.errors import LaunchError
from provisioning.host import Host
from provisioning.launchers import systemd
from provisioning.recipe_schema import Layout, Timeouts
from provisioning.remote import SshRemote
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab_tests.deploying import deploy, needs
from tests.lab_tests.stacks import LabStack, stack_of
from tests.lab_tests.test_python_env import index as index  # noqa: PLC0414 - a fixture

pytestmark = [pytest.mark.integration, pytest.mark.lab]

RUN = "20260101T000000Z-nasty-0a1b"
KEY = "k3y-that-nobody-sees-0123456789"
TOUCH = "touch /tmp/pwned"
#: What a shell, systemd, or a template might take for its own.
NASTY = (
    *("", " ", "a b", "\t", "\n", "x\ny", "\r", "\x01\x7f", "\u2028", "\u00a0", "é 漢 \U0001f600"),
    *('"', "'", "\\", "\\n", "\\x41", "trailing\\", "a'b\"c\\d$e%f", "`" + TOUCH + "`"),
    *("$HOME", "${HOME}", "$$", "$DYNO_PORT", f"$({TOUCH})", f"; {TOUCH}", f"& {TOUCH} #", "|"),
    *("%h", "%%", "%", "@x", "-", "+", "!", ":", "~", "*", "<", ">", "#", "{{ 7*7 }}", "{% raw %}"),
)
PROGRAM = f"""
import http.server, json, os, resource, sys
given = {{name: os.environ[name] for name in os.environ if name.startswith("N_")}}
files = resource.getrlimit(resource.RLIMIT_NOFILE)
print(json.dumps({{"argv": sys.argv[2:], "env": given, "files": files}}), flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die":
            print("the last words", flush=True)
            os._exit(3)
        right = self.headers["Authorization"] == "Bearer " + os.environ["{API_KEY}"]
        self.send_response(200 if right else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def lab_host_of_all(lab: Lab) -> Iterator[LabHost]:
    made = lab.host(docker=False)
    yield made
    lab.remove(made)


@pytest.fixture
def host(lab_host_of_all: LabHost) -> Iterator[Host]:
    """Its folder has a blank and a percent sign in its name."""
    told = lab_host_of_all.stack_host()
    remote = SshRemote(told, lab_host_of_all.private_key)
    yield Host(remote, f"{told.workdir} 50%x", who="test")
    launch.stop(Host(remote, f"{told.workdir} 50%x", who="test"), RUN)
    remote.close()


def nasty(**changes: Any) -> ProcessSpec:
    """An engine that tells what it was given."""
    values: dict[str, Any] = {
        "engine": "fake",
        "model": "m",
        "argv": ("/usr/bin/python3", "-c", PROGRAM, PORT, *NASTY),
        "env": {f"N_{number}": text for number, text in enumerate(NASTY)},
        "secret_env": {API_KEY: Secret(KEY)},
        "ready_path": "/v1/models",
        "stop_grace_s": 5.0,
        "limits": {"nofile": 15000},
    }
    return ProcessSpec(**(values | changes))


def left(lab_host: LabHost) -> str:
    """Units of ours, loaded or as files, and processes in them."""
    return lab_host.docker_exec(
        "systemctl list-units --all --plain --no-legend 'dyno-*'; ls /run/systemd/system | grep "
        "dyno-; grep -l dyno- /proc/[0-9]*/cgroup 2>/dev/null; :"
    )


def listening(lab_host: LabHost) -> set[str]:
    """Ports that somebody listens on."""
    return set(lab_host.docker_exec("ss -Htln | awk '{print $4}'").split())


def test_whatever_a_recipe_holds_arrives_as_it_is(host: Host, lab_host_of_all: LabHost) -> None:
    """In arguments and environment; nothing of it is run; then nothing is left."""
    before = listening(lab_host_of_all)
    handle = launch.start(host, systemd, nasty(), RUN)
    readiness.wait(host, handle, Timeouts(ready_s=20.0))
    said = json.loads(next(x for x in launch.log(host, RUN).splitlines() if x.startswith("{")))
    main = lab_host_of_all.docker_exec(f"systemctl show -p MainPID --value dyno-{RUN}.service")
    told = lab_host_of_all.docker_exec(
        f"systemctl cat dyno-{RUN}.service; systemctl show dyno-{RUN}.service; ps axww"
    )

    assert list(NASTY) == said["argv"]
    assert dict(enumerate(NASTY)) == {int(k[2:]): v for k, v in said["env"].items()}
    assert (15000, handle.pid) == (said["files"][0], int(main))
    assert "no" == lab_host_of_all.docker_exec("[ -e /tmp/pwned ] || echo no")
    assert KEY not in told
    assert (True, True) == (launch.alive(host, RUN), launch.stop(host, RUN))
    assert (False, False) == (launch.alive(host, RUN), launch.stop(host, RUN))
    assert ("", before) == (left(lab_host_of_all), listening(lab_host_of_all))


def test_the_last_words_of_one_that_dies_are_in_its_log(
    host: Host, lab_host_of_all: LabHost
) -> None:
    """With what systemd says of its end; another that takes its place is not taken for it."""
    handle = launch.start(host, systemd, nasty(restart="always"), RUN)
    readiness.wait(host, handle, Timeouts(ready_s=20.0))
    lab_host_of_all.docker_exec(f"curl -s http://127.0.0.1:{handle.port}/die; :")
    deadline = time.monotonic() + 10
    while launch.alive(host, RUN):
        assert time.monotonic() < deadline

    log = launch.log(host, RUN)

    assert ("the last words", True) == (
        next(line for line in log.splitlines() if "words" in line),
        "status=3" in log,
    )
    assert launch.stop(host, RUN)
    assert "" == left(lab_host_of_all)


def test_a_program_that_is_not_there_is_seen_as_ended(host: Host, lab_host_of_all: LabHost) -> None:
    """The log says which."""
    handle = launch.start(host, systemd, nasty(argv=("/no such/engine", PORT)), RUN)
    with pytest.raises(LaunchError, match="ended before it was ready") as caught:
        readiness.wait(host, handle, Timeouts(ready_s=20.0))
    assert "/no such/engine" in caught.value.log + launch.log(host, RUN)
    assert not launch.stop(host, RUN)
    assert "" == left(lab_host_of_all)


def test_a_user_without_sudo_is_told(lab: Lab) -> None:
    """Before anything is started, in one sentence."""
    lab_host = lab.host(sudo=False)
    remote = SshRemote(lab_host.stack_host(), lab_host.private_key)
    try:
        with pytest.raises(LaunchError, match="our user may not become root") as caught:
            launch.start(Host(remote, lab_host.workdir), systemd, nasty(), RUN)
    finally:
        remote.close()
        lab.remove(lab_host)
    assert "--set launcher=process" in caught.value.advice


def test_nginx_comes_and_does_not_run(lab_host_of_all: LabHost) -> None:
    """No listener, no unit that starts at the next boot; a second time nothing is done."""
    before = listening(lab_host_of_all)
    wanted = needs(lab_host_of_all)
    wanted = type(wanted)(**(vars(wanted) | {"layout": Layout(instances=2, front="nginx")}))

    changes = deploy(lab_host_of_all, wanted, front_step)

    state = "systemctl show -p LoadState,ActiveState,UnitFileState --value nginx.service"
    assert 3 == len(changes)
    assert ["loaded", "inactive", "disabled"] == lab_host_of_all.docker_exec(state).split()
    assert before == listening(lab_host_of_all)
    assert "" == lab_host_of_all.docker_exec("pgrep nginx; :")
    assert [] == deploy(lab_host_of_all, wanted, front_step)


STREAM = """
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        for n in range(3 if self.path == "/stream" else 0):
            self.wfile.write(b"data: %d\\n\\n" % n)
            time.sleep(0.5)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
READ = """
import sys, time, urllib.request
began = time.monotonic()
with urllib.request.urlopen(sys.argv[1]) as reply:
    print(*(round(time.monotonic() - began, 2) for line in reply if line.startswith(b"data")))
"""


def test_nothing_is_held_back_by_nginx(host: Host, lab_host_of_all: LabHost) -> None:
    """Not even a reply whose end is the connection's, which nginx would gather first."""
    spec = nasty(argv=("/usr/bin/python3", "-c", STREAM, PORT), ready_path="/", env={})
    handle = launch.start(host, systemd, spec, RUN)
    readiness.wait(host, handle, Timeouts(ready_s=20.0))
    through = front.start(host, RUN, [handle], "m", None)
    command = f"python3 - {through.base_url}/stream"

    first, second, third = map(float, lab_host_of_all.ssh(command, data=READ).stdout.split())

    assert first < 0.4 < second < 0.9 < third
    metrics = f"curl -s -o /dev/null -w '%{{http_code}}' {through.base_url}/metrics"
    assert "404" == lab_host_of_all.ssh(metrics).stdout
    bound = lab_host_of_all.docker_exec(f"ss -Htln 'sport = :{through.port}' | awk '{{print $4}}'")
    assert f"127.0.0.1:{through.port}" == bound
    assert launch.stop(host, RUN)
    assert "" == lab_host_of_all.docker_exec("pgrep nginx; :")


@pytest.fixture(scope="module")
def stack(lab_host_of_all: LabHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    with stack_of(tmp_path_factory.mktemp("stack"), lab_host_of_all) as found:
        yield found


def sets(**values: Any) -> list[str]:
    """Arguments of `fab`."""
    texts = [f"{key.replace('__', '.')}={json.dumps(value)}" for key, value in values.items()]
    small = ["load.points.0.num_prompts=16", "load.points.1.num_prompts=16"]
    return [part for text in (*texts, *small) for part in ("--set", text)]


def result(stack: LabStack) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The newest run at home, its manifest and summary."""
    run = max((Path(stack.env["LLM_DYNO_RESULTS"]) / stack.name).iterdir())
    manifest = json.loads((run / "manifest.json").read_text())
    return run, manifest, json.loads((run / "summary.json").read_text())


def test_a_unit_over_an_environment_gives_a_whole_result(
    stack: LabStack, lab_host_of_all: LabHost, index: str
) -> None:
    """The simulator by the environment's Python; afterwards no unit, no process, no port."""
    before = listening(lab_host_of_all)
    python = {"packages": ["hello==1.0"], "index_url": index}

    done = stack.fab("bench", *sets(launcher="systemd", host__python=python))

    assert 0 == done.code, done.said
    run, manifest, summary = result(stack)
    argv = manifest["context"]["engine"]["argv"]
    assert argv[0].startswith(f"{lab_host_of_all.workdir}/environments/")
    assert argv[0].endswith("/bin/python")
    assert [16, 16] == [point["completed"] for point in summary["points"]]
    assert (run / "SHA256SUMS").is_file()
    assert "Started dyno-" in (run / "server.log").read_text()
    assert ("", before) == (left(lab_host_of_all), listening(lab_host_of_all))


@pytest.mark.parametrize("front", ["nginx", "agent"])
def test_two_instances_give_a_whole_result(
    stack: LabStack, lab_host_of_all: LabHost, front: str
) -> None:
    """Both had requests; the log of the second is at home; nothing is left on the host."""
    before = listening(lab_host_of_all)
    layout = {"instances": 2, "front": front}

    done = stack.fab("bench", *sets(launcher="systemd", layout=layout))

    assert 0 == done.code, done.said
    run, manifest, summary = result(stack)
    about, target = manifest["context"], manifest["spec"]["target"]
    ids = [run.name, f"{run.name}.1"]
    assert ids == [engine["id"] for engine in about["layout"]["engines"]]
    assert 2 == len({engine["port"] for engine in about["layout"]["engines"]})
    assert (1 if front == "nginx" else 2) == len(target["base_urls"])
    assert [16, 16] == [point["completed"] for point in summary["points"]]
    assert "Started dyno-" in (run / "home" / "server.1.log").read_text()
    if front == "nginx":
        assert "nginx" in about["host"]["front"]
        assert (run / "home" / "front.log").is_file()
    assert ("", before) == (left(lab_host_of_all), listening(lab_host_of_all))
    assert "" == lab_host_of_all.docker_exec("pgrep -f '[n]ginx|[s]imulate'; :")
