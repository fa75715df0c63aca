"""What somebody else put into Docker's settings stays there."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.facts.daemon_json import Settings
from provisioning.facts.paths import Found
from provisioning.facts.stores import Kept
from provisioning.operations import docker_settings
from provisioning.operations.docker_settings import merged
from tests.provisioning.fakes import FakeHost
from tests.provisioning.gpu_hosts import DAEMON, NONE, RUNS, fresh, lines, served

LAB = "registry.lab:5000"
INSECURE = replace(DAEMON, insecure_registries=("127.0.0.0/8", LAB))
objects = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.recursive(
        st.integers() | st.lists(st.integers(), max_size=3),
        lambda inner: st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)


def written(host: FakeHost, *, registries: list[str], store: str | None = None) -> Any:
    """The settings that are written; None when they are not."""
    commands = docker_settings.settled(host, registries, store)
    texts = [c.payload() for c in commands if str(c).startswith("write /etc/docker/daemon.json")]
    return json.loads(texts[0]) if texts else None


def test_what_is_missing_is_added_to_what_is_there() -> None:
    """Foreign keys, values and items of lists stay; ours come beside them."""
    theirs = {"debug": True, "insecure-registries": ["old:5000"], "runtimes": {"x": {"path": "y"}}}
    ours = {"debug": False, "insecure-registries": [LAB], "runtimes": {"nvidia": {}}}
    assert {
        "debug": True,
        "insecure-registries": ["old:5000", LAB],
        "runtimes": {"x": {"path": "y"}, "nvidia": {}},
    } == merged(theirs, ours)


@given(theirs=objects)
def test_nothing_of_theirs_is_lost(theirs: dict[str, Any]) -> None:
    """Each of their values is there afterwards, and merging once more changes nothing."""
    ours = {"a": [7], "d": 1}
    theirs = {k: v for k, v in theirs.items() if k != "a" or isinstance(v, list)}
    result = merged(theirs, ours)
    assert result == merged(result, ours)
    assert {k: v for k, v in theirs.items() if k != "a"} == {
        k: result[k] for k in theirs if k != "a"
    }
    assert set(theirs.get("a", [])) <= set(result["a"])


def test_a_new_docker_finds_its_settings_when_it_starts() -> None:
    """Written before it is there; nothing has to be restarted."""
    host = fresh()
    expected = {"insecure-registries": [LAB], "data-root": "/data/docker"}
    assert expected == written(host, registries=[LAB], store="/data/docker")
    shown = lines(docker_settings.settled(host, [LAB], "/data/docker"))
    assert "make /etc/docker" == shown[0]
    assert 2 == len(shown)


def test_without_a_wish_there_is_no_file() -> None:
    """No registries, no disk: nothing is written."""
    assert [] == list(docker_settings.settled(fresh(), [], None))


def test_a_foreign_file_is_merged_and_docker_reads_it_again() -> None:
    """Registries are taken over without a restart: containers go on."""
    theirs = {"log-driver": "journald", "insecure-registries": ["old:5000"]}
    host = served(DaemonJson=Settings(there=True, values=theirs))
    expected = {"log-driver": "journald", "insecure-registries": ["old:5000", LAB]}
    assert expected == written(host, registries=[LAB])
    assert "reload docker.service" == lines(docker_settings.settled(host, [LAB], None))[-1]


@pytest.mark.parametrize(
    ("daemon", "expected"), [(DAEMON, ["reload docker.service"]), (INSECURE, [])]
)
def test_a_file_that_was_written_but_not_read_is_read(daemon: Any, expected: list[str]) -> None:
    """After an interruption between the two: what counts is what the server goes by."""
    settings = Settings(there=True, values={"insecure-registries": [LAB]})
    host = served(DaemonJson=settings, Docker=daemon)
    assert expected == lines(docker_settings.settled(host, [LAB], None))


@pytest.mark.parametrize(
    "changes",
    [
        {"Docker": replace(DAEMON, images=1)},
        {"Docker": replace(DAEMON, containers=1)},
        {"Docker": replace(DAEMON, root="/mnt/theirs")},
        {"Docker": None, "Stores": Kept(docker=True)},
        {"Docker": DAEMON, "Stores": Kept(docker=True)},
    ],
    ids=[
        "images",
        "containers",
        "another folder",
        "left behind by one that was removed",
        "volumes",
    ],
)
def test_images_that_are_there_keep_their_folder(changes: dict[str, Any]) -> None:
    """They would not move along."""
    assert None is written(served(**changes), registries=[], store="/data/docker")


def test_an_empty_docker_moves_to_the_data_disk() -> None:
    """Its server is started anew for that."""
    host = served(DaemonJson=Settings())
    assert {"data-root": "/data/docker"} == written(host, registries=[], store="/data/docker")
    assert "restart docker.service" == lines(docker_settings.settled(host, [], "/data/docker"))[-1]


def test_a_docker_on_the_data_disk_stays() -> None:
    """A second time there is nothing to do, images or not."""
    settings = Settings(there=True, values={"data-root": "/data/docker"})
    daemon = replace(DAEMON, root="/data/docker", images=3)
    host = served(DaemonJson=settings, Docker=daemon)
    assert [] == list(docker_settings.settled(host, [], "/data/docker"))


def test_containerd_stores_on_the_data_disk() -> None:
    """The key comes before all tables of its file, and both services are started anew."""
    host = served(Stores=Kept(config='disabled_plugins = ["cri"]\n[grpc]\n'))
    _, write, *after = docker_settings.contained(host, "/data/containerd")
    text = b'root = "/data/containerd"\ndisabled_plugins = ["cri"]\n[grpc]\n'
    assert text == write.payload()
    assert ["sudo -n systemctl restart containerd.service", "restart docker.service"] == lines(
        after
    )


def rights(commands: Any) -> list[str]:
    """Mode and owner of the files that are written."""
    written = [command for command in commands if str(command).startswith("write ")]
    return [f"{command.argv[5]} {command.argv[7]}".strip() for command in written]


def test_files_keep_their_mode_and_owner() -> None:
    """Somebody may have closed them; new ones everybody may read."""
    closed = Settings(there=True, values={"debug": True}, mode=0o640, owner="0:999")
    theirs = docker_settings.settled(served(DaemonJson=closed), [LAB], None)
    ours = docker_settings.settled(fresh(), [LAB], None)
    assert [["640 0:999"], ["644"]] == [rights(theirs), rights(ours)]
    found = Found("file", 0o600, "", "root:adm")
    host = served(Stores=Kept(config="version = 2\n"), AtPath=found)
    assert ["600 root:adm"] == rights(docker_settings.contained(host, "/data/containerd"))
    assert ["644"] == rights(docker_settings.contained(served(), "/data/containerd"))


def test_containerd_without_a_file_gets_one() -> None:
    """Of the version that all its releases in use read."""
    _, write, *_ = docker_settings.contained(served(), "/data/containerd")
    assert b'root = "/data/containerd"\nversion = 2\n' == write.payload()


@pytest.mark.parametrize(
    "changes",
    [
        {"Stores": Kept(containerd=True)},
        {"Stores": Kept(config='root = "/mnt/c"\n')},
        {"Units": (RUNS, NONE, NONE)},
        {"Docker": replace(DAEMON, containers=1)},
    ],
    ids=["it holds something", "its file says where", "it is not there", "Docker has containers"],
)
def test_containerd_that_is_somebodys_is_left_alone(changes: dict[str, Any]) -> None:
    """What it holds would not move along."""
    assert [] == list(docker_settings.contained(served(**changes), "/data/containerd"))


def test_a_containerd_alone_needs_no_docker() -> None:
    """Only what is there is started anew."""
    host = fresh(Units=(NONE, RUNS, NONE))
    assert (
        "sudo -n systemctl restart containerd.service"
        == lines(docker_settings.contained(host, "/data/containerd"))[-1]
    )


@pytest.mark.parametrize(
    ("config", "root"),
    [
        (None, None),
        ("version = 2\n[plugins]\nroot = '/x'\n", None),
        ("#root = '/x'\n", None),
        ("root='/mnt'\n", "/mnt"),
    ],
)
def test_containerds_folder_is_a_key_of_the_whole_file(
    config: str | None, root: str | None
) -> None:
    """Not one of a table, nor a comment."""
    assert root == Kept(config=config).root
