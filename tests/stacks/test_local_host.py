from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from stacks import local_host, local_process
from stacks.failure import Failure
from tests.stacks.hosts import Running, connected, run, running, wait_for

pytestmark = pytest.mark.integration

DETACH = "setsid sleep 304 </dev/null >/dev/null 2>&1 & echo $!"


def kill_server(on: Running) -> None:
    process = local_host.server(on.host.folder)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    assert wait_for(lambda: not local_process.alive(process))


def state(on: Running) -> str:
    return local_host.state(on.host.folder, on.host.host_id)


def test_removal_leaves_nothing(tmp_path: Path) -> None:
    """No server, nothing that was started under it however detached, no folder."""
    with running(tmp_path / "h") as on:
        with connected(on.port, on.private_key) as ssh:
            marked, shy = (int(run(ssh, p + DETACH)[1]) for p in ("", "env -i "))
        local_host.remove(on.host.folder, on.host.host_id)

        assert [None, None] == [local_process.identify(pid) for pid in (marked, shy)]
        assert set() == local_process.marked(on.host.host_id)
        assert not on.host.folder.exists()
        assert "gone" == state(on)


def test_removal_twice_is_fine(tmp_path: Path) -> None:
    """What is gone needs no removal."""
    with running(tmp_path / "h") as on:
        local_host.remove(on.host.folder, on.host.host_id)
        local_host.remove(on.host.folder, on.host.host_id)

        assert not on.host.folder.exists()


def test_removal_finds_what_outlived_the_server(tmp_path: Path) -> None:
    """The server was killed: its children are found by their mark."""
    with running(tmp_path / "h") as on:
        with connected(on.port, on.private_key) as ssh:
            child = int(run(ssh, DETACH)[1])
        kill_server(on)
        assert local_process.identify(child)

        local_host.remove(on.host.folder, on.host.host_id)

        assert local_process.identify(child) is None


def test_a_host_without_server_is_off_and_can_be_switched_on(tmp_path: Path) -> None:
    """Same port, same keys, and everything that was on it."""
    with running(tmp_path / "h") as on:
        (on.host.work / "result").write_text("42")
        kill_server(on)
        assert "off" == state(on)

        assert on.port == local_host.switch_on(on.host)

        assert "on" == state(on)
        with connected(on.port, on.private_key) as ssh:
            assert (0, b"42") == run(ssh, "cat result")


def test_another_port_is_taken_when_its_own_is_lost(tmp_path: Path) -> None:
    """Any port was asked for, so any port will do."""
    with running(tmp_path / "h") as on:
        kill_server(on)
        with socket.create_server(("127.0.0.1", on.port)):
            port = local_host.switch_on(on.host)

        assert port not in (0, on.port)
        assert "on" == state(on)


def test_a_configured_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    """Nothing is left of the attempt."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        expected = f"Port {port} of 127.0.0.1 is in use by another program. Choose another one"
        with pytest.raises(Failure, match=expected), running(tmp_path / "h", port=port):
            pass

    assert not (tmp_path / "h").exists()


def test_two_hosts_do_not_disturb_each_other(tmp_path: Path) -> None:
    """One goes with what was started on it; the other stays with its own."""
    with running(tmp_path / "a") as one, running(tmp_path / "b") as other:
        with connected(other.port, other.private_key) as ssh:
            child = int(run(ssh, DETACH)[1])
        local_host.remove(one.host.folder, one.host.host_id)

        assert ("gone", "on") == (state(one), state(other))
        assert local_process.identify(child)


@pytest.mark.parametrize("change", [{"boot_id": "another"}, {"pid_started": 1}, {"pid": 2**22 - 1}])
def test_a_stale_record_is_not_believed(tmp_path: Path, change: dict[str, object]) -> None:
    """After a reboot the number may be somebody else's: it is not taken for the server."""
    with running(tmp_path / "h") as on:
        record = local_host.recorded(on.host.folder)
        (on.host.folder / "host.json").write_text(json.dumps(record | change))

        assert "off" == state(on)


def test_a_stale_record_kills_nobody(tmp_path: Path) -> None:
    """Removal after a reboot leaves alone whoever has the number now."""
    with running(tmp_path / "h") as on:
        kill_server(on)
        own = local_process.identify(os.getpid())
        assert own is not None
        record = local_host.recorded(on.host.folder)
        stale = {"pid": own.pid, "pid_started": own.started - 1, "boot_id": own.boot_id}
        (on.host.folder / "host.json").write_text(json.dumps(record | stale))

        local_host.remove(on.host.folder, on.host.host_id)

        assert not on.host.folder.exists()  # and we are still here


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}"])
def test_a_damaged_record_is_no_host(tmp_path: Path, text: str) -> None:
    """It is gone; its folder can be removed."""
    folder = tmp_path / "h"
    folder.mkdir()
    (folder / "host.json").write_text(text)

    assert ("gone", None) == (local_host.state(folder, "x"), local_host.server(folder))
    local_host.remove(folder, "x")
    assert not folder.exists()


def test_a_folder_of_another_host_stays(tmp_path: Path) -> None:
    """Removal by an old name does not hit a new host."""
    with running(tmp_path / "h") as on:
        local_host.remove(on.host.folder, "another")

        assert "on" == state(on)


def test_what_a_cut_short_creation_left_makes_way(tmp_path: Path) -> None:
    """Its server is stopped, too: nothing was ever run on it."""
    with running(tmp_path / "h") as left, running(tmp_path / "h") as on:
        assert "on" == state(on)
        assert set() == local_process.marked(left.host.host_id)


def test_a_folder_with_runs_is_not_overwritten(tmp_path: Path) -> None:
    """Results of a host that no stack knows are for a person to judge."""
    (tmp_path / "h/work/runs/20261121T120000Z-rehearsal-0000").mkdir(parents=True)

    with (
        pytest.raises(Failure, match="holds runs of a host that this stack does not know"),
        running(tmp_path / "h"),
    ):
        pass


def test_a_read_only_tree_is_removed(tmp_path: Path) -> None:
    """Folders without write permission do not stop it."""
    with running(tmp_path / "h") as on:
        (on.host.work / "a/b").mkdir(parents=True)
        (on.host.work / "a/b").chmod(0o500)
        (on.host.work / "a").chmod(0o500)

        local_host.remove(on.host.folder, on.host.host_id)

        assert not on.host.folder.exists()


def test_a_place_where_nothing_can_be_made_is_said(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "file").touch()

    with pytest.raises(Failure, match="could not be made"), running(tmp_path / "file/h"):
        pass
