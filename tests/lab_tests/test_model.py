"""The model's download on a host like a fresh VM, over SSH that breaks and a host that restarts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from provisioning import model_follow
from provisioning.deploys import model as deploy
from provisioning.errors import HostError
from provisioning.host import Host
from provisioning.host_schema import HostNeeds
from provisioning.needs import Needs
from provisioning.recipe_schema import Model
from provisioning.remote import SshRemote
from tests.lab import network
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.provisioning import hub as stand_in
from tests.provisioning.hub import Hub

MARKER = "hf_planted0MARKER0that0nobody0may0see"
SIZE = 66_000_000
# Root sees every file that may hold it, and what every process was given; not this search itself.
_SEARCH = f"""\
m='{MARKER.replace("M", "[M]", 1)}'
grep -slr "$m" /home /tmp /var /run /dev/shm /root /etc
grep -sl "$m" /proc/[0-9]*/cmdline /proc/[0-9]*/environ"""
pytestmark = [pytest.mark.integration, pytest.mark.lab]


@pytest.fixture(scope="module")
def lab_machine(lab: Lab) -> Iterator[LabHost]:
    made = lab.host()
    yield made
    lab.remove(made)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """On the lab's network; its models are for one token."""
    monkeypatch.setenv("HF_TOKEN", MARKER)
    monkeypatch.setattr(model_follow, "POLL_S", 0.1)
    monkeypatch.setattr(model_follow, "SAY_S", 0.0)
    large = {"model.safetensors": SIZE}
    gated = stand_in.model(large, gated=True, readers=(MARKER,))
    models = {"o/first": gated, "o/second": gated}
    network.ensure()  # it goes with the last host of the tests before
    with stand_in.serving(models, bind=network.GATEWAY) as hub:
        hub.tokens = (MARKER,)
        yield hub


def needed(machine: LabHost, hub: Hub, name: str) -> Needs:
    given = Model.model_validate({"name": name, "hub": hub.url})
    one = machine.stack_host()
    return Needs(HostNeeds(), given, one, one.workdir, one.workdir)


def apply(machine: LabHost, needs: Needs, tell: Callable[[str], None]) -> Host:
    """What a deploy does with the step."""
    with closing(SshRemote(machine.stack_host(), machine.private_key)) as remote:
        host = Host(remote, needs.workdir, who="me")
        (step,) = deploy.steps(needs)
        host.gather(*step.facts)
        for operation in step.operations:
            host.apply(operation)
        assert step.run
        step.run(host, tell)
        return host


def seen(machine: LabHost) -> str:
    return machine.docker_exec(_SEARCH, check=False)


def test_a_download_survives_a_cut_connection(lab_machine: LabHost, hub: Hub) -> None:
    """From a bare host to a whole model, all connections dropped on the way, no token anywhere."""
    hub.rate = 20e6
    needs, told, tokens = needed(lab_machine, hub, "o/first"), list[str](), list[str]()

    def tell(line: str) -> None:
        told.append(line)
        if len(told) == 2:
            lab_machine.cut()
            tokens.append(seen(lab_machine))

    first = apply(lab_machine, needs, tell)
    second = apply(lab_machine, needs, told.append)

    assert (1, [""]) == (len(hub.asked("/cdn/")), tokens)
    assert ("", MARKER) == (seen(lab_machine), hub.asked("/o/first")[0].token)
    assert (1, []) == (second.remote.exchanges, second.ran)
    assert 4 <= len(first.ran)
    assert "0.1 GB in 4 files" in told[-1]


def test_a_planted_marker_is_seen(lab_machine: LabHost) -> None:
    """The search above can fail."""
    lab_machine.write("/var/tmp/planted", MARKER)
    found = seen(lab_machine)
    lab_machine.docker_exec("rm /var/tmp/planted")
    assert "/var/tmp/planted" == found.strip()


def test_a_download_goes_on_after_a_restart(lab_machine: LabHost, hub: Hub) -> None:
    """The host's power is cut: told in a sentence, and the next run goes on from what is there."""
    hub.rate = 8e6
    needs, cut = needed(lab_machine, hub, "o/second"), list[str]()

    def tell(line: str) -> None:
        moves = "MB/s" in line and ", 0 MB/s" not in line
        if moves and not cut:
            cut.append(line)
            lab_machine.kill()
            lab_machine.start()

    with pytest.raises(HostError, match=r"^The download of o/second was killed"):
        apply(lab_machine, needs, tell)
    hub.rate = None
    apply(lab_machine, needs, print)

    first, last = (each.range for each in hub.asked("/cdn/"))
    assert (None, True) == (first, int(str(last).strip("bytes=-")) > 10_000_000)
    assert "" == seen(lab_machine)
