from __future__ import annotations

import dataclasses
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stacks import local_process as processes
from tests.stacks.hosts import wait_for

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True)"
    "\nwhile True: time.sleep(60)"
)


@pytest.fixture
def marker() -> Iterator[str]:
    made = secrets.token_hex(8)
    yield made
    for process in processes.marked(made):
        processes.send(process, signal.SIGKILL)


def start(marker: str, *argv: str) -> subprocess.Popen[str]:
    environment = {**os.environ, processes.MARKER: marker}
    return subprocess.Popen(
        argv or ("sleep", "60"), env=environment, stdout=subprocess.PIPE, text=True
    )


def end(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.communicate()


def test_a_process_is_known_by_more_than_its_number(marker: str) -> None:
    """Number, start and boot: a later process of the same number, or boot, is another one."""
    child = start(marker)
    found = processes.identify(child.pid)
    assert found is not None

    later = dataclasses.replace(found, started=found.started + 1)
    rebooted = dataclasses.replace(found, boot_id="another boot")

    assert [True, False, False] == [processes.alive(p) for p in (found, later, rebooted)]
    end(child)


def test_a_reused_number_is_not_signalled(marker: str) -> None:
    """The process that has the number now is somebody else's."""
    child = start(marker)
    found = processes.identify(child.pid)
    assert found is not None

    processes.send(dataclasses.replace(found, started=found.started - 1), signal.SIGKILL)
    processes.send(dataclasses.replace(found, boot_id="another boot"), signal.SIGKILL)

    assert not wait_for(lambda: child.poll() is not None, 0.3)
    end(child)


def test_a_zombie_is_no_process(marker: str) -> None:
    """What has ended counts as ended, even before its parent looked."""
    child = start(marker, "true")

    assert wait_for(lambda: processes.identify(child.pid) is None)
    child.communicate()


def test_no_process_no_signal() -> None:
    """A number that nobody has is passed over."""
    gone = processes.ProcessId(2**22 - 1, 1, processes.boot_id())

    processes.send(gone, signal.SIGKILL)

    assert not processes.alive(gone)


def test_a_strange_name_does_not_confuse(tmp_path: Path, marker: str) -> None:
    """A program may be called `a) R 1 (b`: the fields after the name are still found."""
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    child = start(marker, str(program), "60")

    assert wait_for(lambda: {p.pid for p in processes.marked(marker)}) == {child.pid}
    assert child.pid in {p.pid for p in processes.below(os.getpid())}
    end(child)


def test_marked_processes_are_found_however_detached(marker: str) -> None:
    """A new session and a dead parent hide nothing."""
    child = start(marker, "sh", "-c", "setsid setsid sleep 60 >/dev/null 2>&1 & echo; exit")
    child.communicate()

    found = wait_for(lambda: processes.marked(marker))

    assert 1 == len(found)
    assert set() == set(processes.stop(lambda: processes.marked(marker), 5))


def test_descendants_are_found(marker: str) -> None:
    """Children and their children, whatever their environment."""
    child = start(marker, "sh", "-c", "env -i sleep 60 & echo $!; wait")
    assert child.stdout is not None
    grandchild = int(child.stdout.readline())

    assert {child.pid, grandchild} <= {p.pid for p in processes.below(os.getpid())}
    os.kill(grandchild, signal.SIGKILL)
    end(child)


def test_what_ignores_term_is_killed(marker: str) -> None:
    """After the patience is over, and not before."""
    child = start(marker, sys.executable, "-c", STUBBORN)
    assert child.stdout is not None
    child.stdout.readline()

    left = processes.stop(lambda: processes.marked(marker), 0.1)

    assert (set(), -signal.SIGKILL) == (set(left), child.wait())
    end(child)


def test_a_stopped_process_gets_its_chance(marker: str) -> None:
    """It is continued, and ends by TERM."""
    child = start(marker)
    child.send_signal(signal.SIGSTOP)

    processes.stop(lambda: processes.marked(marker), 5)

    assert -signal.SIGTERM == child.wait()
    end(child)


def test_what_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller hears what is left."""
    monkeypatch.setattr(processes, "_KILL_PATIENCE_S", 0.05)
    monkeypatch.setattr(processes, "send", lambda process, number: None)
    own = processes.identify(os.getpid())
    assert own is not None

    assert {own} == set(processes.stop(lambda: {own}, 0.05))


def test_a_process_counts_until_its_last_thread_has_ended(marker: str) -> None:
    """The first thread may end before the others: the process still holds its ports."""
    code = (
        "import ctypes, threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "print('ready', flush=True)\n"
        "ctypes.CDLL(None).pthread_exit(None)\n"
    )
    child = start(marker, sys.executable, "-c", code)
    assert child.stdout is not None
    child.stdout.readline()
    stat = Path(f"/proc/{child.pid}/stat")

    assert wait_for(lambda: ") Z " in stat.read_text())
    assert processes.identify(child.pid)
    end(child)
