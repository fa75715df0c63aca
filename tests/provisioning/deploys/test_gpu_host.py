"""All topics of a deploy: found, ordered, asked at once, refused before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning import needs, recipe
from provisioning.command import Command, Fact
from provisioning.deploys import gpu_host
from provisioning.deploys.gpu_host import Deploy, ordered
from provisioning.deploys.step import Step
from provisioning.errors import CommandError, DynoError, HostError
from provisioning.facts.cloud_init import CloudInit
from provisioning.facts.system import System
from provisioning.host import Host
from provisioning.operations import cloud_init
from tests.provisioning.deploys.stand_ins import There, here, step, touched


def nobody(step: str, text: str) -> None:
    del step, text


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return here(tmp_path)


def deploy(host: Host, *steps: Step) -> Deploy:
    """Prepared, which is one exchange."""
    found = Deploy(host, steps)
    found.prepare()
    assert 1 == host.remote.exchanges
    return found


def refusing(host: Host) -> None:
    raise HostError("It will not do.", "Take another.", host=host.name)


def refusing_operation(host: Host) -> Iterator[Command]:
    refusing(host)
    yield Command("true")


class FirstBoot(CloudInit):
    """A machine whose cloud-init is at work until it was waited for."""

    command = Command.shell('[ -e "$DYNO_WORKDIR/booted" ] || echo working')


def test_a_first_boot_is_waited_for_before_anything_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be what brings what a check misses; the wait is told."""
    monkeypatch.setattr(gpu_host, "CloudInit", FirstBoot)
    wait = 'echo "dyno: waiting for it"; touch "$DYNO_WORKDIR/booted" "$DYNO_WORKDIR/docker"'
    monkeypatch.setattr(cloud_init, "waiting", lambda: Command.shell(wait))
    told: list[str] = []

    def check(host: Host) -> None:
        assert host.fact(There("docker"))

    host = here(tmp_path)
    Deploy(host, [Step("a", (FirstBoot(), There("docker")), check)], told.append).prepare()
    assert (["waiting for it"], 3) == (told, host.remote.exchanges)


def test_steps_come_after_those_they_wait_for() -> None:
    """Whatever order they were found in; absent names do not matter."""
    found = ordered([step("c", "b"), step("b", "a", "nobody"), step("a")])
    assert ["a", "b", "c"] == [each.name for each in found]


def test_steps_that_wait_for_each_other_are_a_bug() -> None:
    """So are two of one name."""
    with pytest.raises(ValueError, match="wait for each other"):
        ordered([step("a", "b"), step("b", "a")])
    with pytest.raises(ValueError, match="one name"):
        ordered([step("a"), step("a")])


def test_a_second_deploy_changes_nothing(host: Host) -> None:
    """One exchange, and no command."""
    first = deploy(host, step("a"), step("b", "a"))
    assert ("a", "b") == first.run(nobody).changed
    again = Host(host.remote, host.workdir)
    host.remote.exchanges = 0
    second = deploy(again, step("a"), step("b", "a"))
    assert ((), False) == (second.plan().changed, second.work)
    assert 1 == host.remote.exchanges


def test_one_that_is_not_fit_is_refused_before_anything_is_changed(
    host: Host, tmp_path: Path
) -> None:
    """The last step's check comes before the first step's work."""
    with pytest.raises(HostError) as caught:
        deploy(host, step("a"), step("z", "a", check=refusing))
    assert ("It will not do.", "provision.z") == (caught.value.what, caught.value.phase)
    assert [] == list(tmp_path.iterdir())


class OldTool(Fact[str]):
    command = Command.shell("echo unknown column >&2; exit 1", shown="list disks")

    def parse(self, stdout: str) -> str:
        return stdout


def unsupported(host: Host) -> None:
    raise HostError(f"It runs {host.fact(System).os[:0]}Debian 8.", "Take a newer one.")


def test_a_system_that_is_not_supported_is_named_whatever_its_tools_say(host: Host) -> None:
    """From the same exchange: that lsblk is too old, or Python, is not what a person should do."""
    steps = (step("disks", facts=(OldTool(),)), Step("preflight", (System(),), unsupported))
    with pytest.raises(HostError, match=r"It runs Debian 8\.") as caught:
        Deploy(host, steps).prepare()
    assert ("provision.preflight", 1) == (caught.value.phase, host.remote.exchanges)


def test_a_python_that_is_too_old_comes_after_the_system(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which may be why."""
    monkeypatch.setattr(gpu_host, "usable", refusing)
    with pytest.raises(HostError, match=r"It runs Debian 8\."):
        Deploy(host, [Step("preflight", (System(),), unsupported)]).prepare()


def test_a_tool_that_fails_on_a_supported_system_is_told(host: Host) -> None:
    """As what it is; so is a check that would have to ask more."""

    def asking(host: Host) -> None:
        host.fact(There("not-asked"))

    steps = (step("disks", facts=(OldTool(),)), Step("preflight", (System(),), asking))
    with pytest.raises(CommandError, match="list disks"):
        Deploy(host, steps).prepare()
    assert 1 == host.remote.exchanges
    with pytest.raises(CommandError, match="list disks"):
        Deploy(host, (step("disks", facts=(OldTool(),)), Step("preflight"))).prepare()


def test_an_operation_that_cannot_be_is_refused_beforehand_too(host: Host) -> None:
    """What nothing before it could cure is told at once."""
    hopeless = Step("z", operations=(refusing_operation,))
    with pytest.raises(HostError) as caught:
        deploy(host, step("a"), hopeless)
    assert "provision.z" == caught.value.phase


def test_what_an_earlier_step_may_cure_is_waited_for(host: Host, tmp_path: Path) -> None:
    """It may install what is missing; if it does not, the error comes then."""
    curable = Step("z", operations=(refusing_operation,), after=("b",))
    found = deploy(host, step("a"), step("b", "a"), curable)
    with pytest.raises(HostError, match="will not do"):
        found.run(nobody)
    assert (tmp_path / "b").exists()


def test_a_plan_changes_nothing(host: Host, tmp_path: Path) -> None:
    """It lists the commands of each step, and says where more may come."""
    (tmp_path / "b").touch()
    late = Step("z", operations=(touched("not-asked"),))
    plan = deploy(host, step("a"), step("b"), late).plan()
    told = {each.name: (each.commands, each.changed, each.more) for each in plan.steps}
    assert {
        "a": (("touch a",), True, False),
        "b": ((), False, False),
        "z": ((), True, True),
    } == told
    assert ["b"] == [path.name for path in tmp_path.iterdir()]


def test_a_user_that_may_not_become_root_is_told_before_anything_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where something has to be done as root; where nothing has, it does not matter."""
    (tmp_path / "bin").mkdir()
    for name, text in (("sudo", "echo sudo: a password is required >&2; exit 1"), ("id", "echo 7")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    root = Step("r", operations=(lambda _: iter([Command("true", sudo=True)]),))
    host = here(tmp_path / "w")
    with pytest.raises(HostError, match="may not become root"):
        Deploy(host, [step("a"), root]).prepare()
    Deploy(here(tmp_path / "w"), [step("a")]).prepare()
    assert not (tmp_path / "w" / "a").exists()


def test_what_was_waited_for_is_prepared_anew(host: Host, tmp_path: Path) -> None:
    """Somebody else has done it meanwhile."""
    found = deploy(host, step("a"), step("b"))
    (tmp_path / "a").touch()
    assert ("b",) == found.run(nobody, again=True).changed


def test_facts_are_fresh_after_a_deploy(host: Host) -> None:
    """Who goes on with the host does not go by what was so before."""
    found = deploy(host, step("a"))
    found.run(nobody)
    assert [] == list(touched("a")(host))


def test_every_topic_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its file: all of them make steps of any recipe, whose order is possible."""
    asked = needs.of(recipe.load("rehearsal"), None, "/w")
    assert {"docker", "disks", "model"} <= gpu_host.topics().keys()
    assert ordered(gpu_host.collect(asked)) is not None


def test_the_manifest_is_told_by_topic(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that have something to say."""
    saying = {"a": lambda h, n: {"x": h.name}, "b": lambda h, n: {}}
    monkeypatch.setattr(gpu_host, "_functions", lambda name: saying if name == "about" else {})
    asked = needs.of(recipe.load("rehearsal"), None, "/w")
    assert {"a": {"x": "this machine"}} == gpu_host.about(host, asked)


def test_an_error_of_a_check_keeps_its_kind(host: Host) -> None:
    """And its advice."""
    with pytest.raises(DynoError) as caught:
        deploy(host, step("z", check=refusing))
    assert ("Take another.", "this machine", 5) == (
        caught.value.advice,
        caught.value.host,
        caught.value.exit_code,
    )
