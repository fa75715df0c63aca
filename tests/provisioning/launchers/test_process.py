"""An engine as a detached process: started, found, stopped, and never somebody else's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provisioning import launch, readiness
from provisioning.command import Secret
from provisioning.engine_schema import Timeouts
from provisioning.engines.base import ProcessSpec
from provisioning.errors import LaunchError, UsageError
from provisioning.host import Host
from provisioning.launchers import base, process
from provisioning.launchers.base import SCRIPT, File, Handle
from provisioning.remote import LocalRemote
from provisioning.versions import ENGINE_PORTS
from tests.provisioning.conftest import KEY

RUN = "20260101T000000Z-rehearsal-0a1b"
Fake = Callable[..., ProcessSpec]
pytestmark = pytest.mark.integration


def folder(host: Host) -> Path:
    return Path(host.path("engines", RUN))


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for *condition*, but not for ever."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def exists(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def group_of(pid: int) -> list[int]:
    """Living processes of a process group."""
    members = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = path.read_text().rpartition(") ")[2].split()[:3]
        except OSError:
            continue
        if int(group) == pid and state not in "ZX":
            members.append(int(path.parent.name))
    return members


def ready(host: Host, spec: ProcessSpec) -> Handle:
    handle = launch.start(host, process, spec, RUN)
    readiness.wait(host, handle, Timeouts(ready_s=20))
    return handle


def get(handle: Handle, path: str) -> str:
    with urllib.request.urlopen(handle.base_url + path, timeout=5) as reply:
        return str(reply.read().decode())


def test_its_whole_life_costs_one_exchange_a_step(host: Host, fake: Fake) -> None:
    """Started, alive, logged, stopped, and stopped again: five exchanges."""
    steps = [
        launch.start(host, process, fake(), RUN).run_id,
        launch.alive(host, RUN),
        launch.stop(host, RUN),
        launch.alive(host, RUN),
        launch.stop(host, RUN),
    ]
    assert ([RUN, True, True, False, False], 5) == (steps, host.remote.exchanges)


def test_it_answers_on_a_port_of_ours_with_its_key(host: Host, fake: Fake) -> None:
    """Below the ephemeral ports; the key is in its environment and in a file beside."""
    handle = ready(host, fake())
    assert handle.port in ENGINE_PORTS
    assert (KEY, KEY) == (
        get(handle, "/env/VLLM_API_KEY"),
        Path(str(handle.api_key_file)).read_text(),
    )


def test_it_is_detached(host: Host, fake: Fake) -> None:
    """Its own session and group, and nothing of ours stays open in it."""
    handle = launch.start(host, process, fake("silent"), RUN)
    log = str(folder(host) / "log")
    links = {n: str(Path(f"/proc/{handle.pid}/fd/{n}").readlink()) for n in (0, 1, 2)}
    assert (handle.pid, handle.pid) == (os.getsid(handle.pid), os.getpgid(handle.pid))
    assert {0: "/dev/null", 1: log, 2: log} == links


def test_its_environment_reaches_it_whatever_it_holds(host: Host, fake: Fake) -> None:
    """Quotes, blanks, dollars and newlines are no shell."""
    value = 'it\'s $HOME `x` "q"\nline 2'
    handle = ready(host, fake(env={"ODD": value}))
    assert value == get(handle, "/env/ODD")


def test_secrets_stand_in_no_process_list_log_or_script(
    host: Host, fake: Fake, tmp_path: Path
) -> None:
    """Only env and api-key hold the key, and only we can read them."""
    handle = ready(host, fake())
    assert KEY not in Path(f"/proc/{handle.pid}/cmdline").read_text()
    holders = {
        p.name: p.stat().st_mode & 0o777
        for p in tmp_path.rglob("*")
        if p.is_file() and KEY in p.read_text()
    }
    assert {"env": 0o600, "api-key": 0o600} == holders


def test_its_files_are_for_us_alone(host: Host, fake: Fake) -> None:
    """Log and pid too, and what the engine itself will write."""
    ready(host, fake())
    modes = {p.name: p.stat().st_mode & 0o077 for p in folder(host).iterdir()}
    assert dict.fromkeys(("api-key", "engine.sh", "env", "log", "pid"), 0) == modes


def test_without_a_key_there_is_no_key_file(host: Host, fake: Fake) -> None:
    """Engines that ask for none."""
    assert None is launch.start(host, process, fake("silent", secret_env={}), RUN).api_key_file
    assert not (folder(host) / "api-key").exists()


def test_a_fixed_port_is_used(host: Host, fake: Fake, unused_port: int) -> None:
    """And no other."""
    assert unused_port == ready(host, fake(port=unused_port)).port


def test_a_fixed_port_in_use_is_said(host: Host, fake: Fake, taken_port: int) -> None:
    """Which port, and what to do; nothing is started."""
    with pytest.raises(LaunchError) as caught:
        launch.start(host, process, fake(port=taken_port), RUN)
    assert f"The engine was not started: port {taken_port} is in use." == caught.value.what
    assert "--set engine.port=null" in caught.value.advice
    assert not launch.alive(host, RUN)


def test_no_free_port_is_said(
    host: Host, fake: Fake, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When all that may be used are in use."""
    monkeypatch.setattr(base, "ENGINE_PORTS", range(taken_port, taken_port + 1))
    with pytest.raises(LaunchError, match=f"no port from {taken_port} on is free"):
        launch.start(host, process, fake(), RUN)


def test_a_second_start_leaves_the_first_alone(host: Host, fake: Fake) -> None:
    """It is refused before a file is replaced: the engine has read its key from them."""
    handle = ready(host, fake())
    with pytest.raises(LaunchError, match="runs already"):
        launch.start(host, process, fake(secret_env={"VLLM_API_KEY": Secret("another-key")}), RUN)
    assert (KEY, True) == (Path(str(handle.api_key_file)).read_text(), launch.alive(host, RUN))


def test_after_a_stop_it_starts_again(host: Host, fake: Fake) -> None:
    """The old pid is no obstacle."""
    first = ready(host, fake())
    launch.stop(host, RUN)
    assert first.pid != ready(host, fake()).pid


def test_a_full_disk_is_told_as_it_is(fake: Fake, tmp_path: Path) -> None:
    """The command that failed is named, and the key is not."""
    (tmp_path / "engines").touch()
    with pytest.raises(LaunchError, match="make folder") as caught:
        launch.start(Host(LocalRemote(tmp_path), str(tmp_path)), process, fake(), RUN)
    assert KEY not in f"{caught.value}{caught.value.log}"


def test_a_dry_run_starts_nothing(fake: Fake, tmp_path: Path) -> None:
    """It says so; the commands can be had as an operation."""
    host = Host(LocalRemote(tmp_path), f"{tmp_path}/w", dry_run=True)
    with pytest.raises(UsageError, match="dry run"):
        launch.start(host, process, fake(), RUN)
    assert host.apply(launch.started, process, fake(), RUN)
    assert (0, False) == (host.remote.exchanges, (tmp_path / "w").exists())


@pytest.mark.parametrize("mode", ["stubborn", "family"])
def test_what_does_not_go_is_killed_with_its_children(host: Host, fake: Fake, mode: str) -> None:
    """SIGTERM first; after its grace SIGKILL, for the whole group; then nothing is left."""
    handle = ready(host, fake(mode, stop_grace_s=0.3))
    assert group_of(handle.pid)
    assert launch.stop(host, RUN)
    assert [] == group_of(handle.pid)


def test_children_of_an_engine_that_died_are_stopped(host: Host, fake: Fake) -> None:
    """They hold GPU memory; they are known by their group and our log."""
    spec = fake("orphans", stop_grace_s=0.3)
    handle = launch.start(host, process, spec, RUN)
    until(lambda: not exists(handle.pid))
    assert (True, False) == (bool(group_of(handle.pid)), launch.alive(host, RUN))
    assert launch.stop(host, RUN)
    assert [] == group_of(handle.pid)


def test_an_engine_that_ended_by_itself_needs_no_stop(host: Host, fake: Fake) -> None:
    """Nothing is left, nothing is killed, its log can be read."""
    handle = launch.start(host, process, fake("exit"), RUN)
    until(lambda: not exists(handle.pid))
    assert (False, "says the fake") == (
        launch.stop(host, RUN),
        launch.log(host, RUN, 1).strip()[-13:],
    )


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Somebody else's process, in a group of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    ) as one:
        yield one
        one.kill()


@pytest.mark.parametrize("stale", ["other start time", "other boot"])
def test_a_number_that_was_given_out_again_is_not_killed(
    host: Host, fake: Fake, bystander: subprocess.Popen[bytes], stale: str
) -> None:
    """A pid file of before: the process with that number is not ours."""
    launch.start(host, process, fake("exit"), RUN)
    _, _, boot, port = (folder(host) / "pid").read_text().split()
    stat = Path(f"/proc/{bystander.pid}/stat").read_text().rpartition(") ")[2].split()
    started = int(stat[19])
    if stale == "other boot":
        boot = "00000000-0000-0000-0000-000000000000"
    else:
        started -= 1
    (folder(host) / "pid").write_text(f"{bystander.pid} {started} {boot} {port}\n")
    assert (False, False) == (launch.alive(host, RUN), launch.stop(host, RUN))
    assert None is bystander.poll()


def test_the_right_number_start_and_boot_is_killed(
    host: Host, fake: Fake, bystander: subprocess.Popen[bytes]
) -> None:
    """The test above would see it: with all three right, the process is taken for ours."""
    launch.start(host, process, fake("exit"), RUN)
    _, _, boot, port = (folder(host) / "pid").read_text().split()
    stat = Path(f"/proc/{bystander.pid}/stat").read_text().rpartition(") ")[2].split()
    (folder(host) / "pid").write_text(f"{bystander.pid} {stat[19]} {boot} {port}\n")
    assert launch.stop(host, RUN)
    assert -15 == bystander.wait(5)


def test_of_a_run_that_is_not_known_nothing_is_found(host: Host) -> None:
    """No engine, no log, nothing to stop, and no error."""
    known = (launch.alive(host, RUN), launch.stop(host, RUN), launch.log(host, RUN))
    assert (False, False, "") == known


def test_the_log_is_cut_to_its_end(host: Host, fake: Fake) -> None:
    """As many lines as are asked for."""
    ready(host, fake())
    assert ["Application startup complete."] == [
        line for line in launch.log(host, RUN).splitlines() if "startup" in line
    ]
    assert 1 == len(launch.log(host, RUN, 1).splitlines())


def test_a_person_can_use_the_script_too(host: Host, fake: Fake) -> None:
    """`engine.sh` says what it can do, and does it without us."""
    ready(host, fake())
    path = str(folder(host) / "engine.sh")
    asked = subprocess.run(["sh", path], capture_output=True, text=True, check=False)
    assert (2, True) == (asked.returncode, "start | alive | stop" in asked.stderr)
    stopped = subprocess.run(["sh", path, "stop"], capture_output=True, text=True, check=True)
    assert ("stopped\n", False) == (stopped.stdout, launch.alive(host, RUN))


def test_a_stop_that_leaves_processes_is_an_error(host: Host) -> None:
    """What the host says stands in the message."""
    folder(host).mkdir(parents=True)
    (folder(host) / "engine.sh").write_text("echo processes of group 7 are left >&2; exit 1\n")
    with pytest.raises(LaunchError, match="could not be stopped: processes of group 7 are left"):
        launch.stop(host, RUN)


def test_a_program_that_is_not_there_is_seen_as_ended(host: Host, fake: Fake) -> None:
    """Its log says what the shell said."""
    handle = launch.start(host, process, fake(argv=("/no/such/engine",)), RUN)
    with pytest.raises(LaunchError, match="ended before it was ready") as caught:
        readiness.wait(host, handle, Timeouts(ready_s=10))
    assert "/no/such/engine" in caught.value.log


def test_a_start_that_fails_for_another_reason_is_told(
    host: Host, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that ends otherwise is shown with what it said."""
    monkeypatch.setattr(
        process,
        "files",
        lambda *_: (File(SCRIPT, "echo odd >&2; [ $1 = start ] && exit 9; exit 1", 0o700),),
    )
    with pytest.raises(
        LaunchError, match=r"not started: A command ended with 9 .*engine\.sh.* start"
    ):
        launch.start(host, process, fake(), RUN)
