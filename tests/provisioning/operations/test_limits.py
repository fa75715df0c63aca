"""Limits of processes, and what must not be written because it would lock people out."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from provisioning.errors import HostError
from provisioning.facts.limits import Limit, Limited
from provisioning.facts.paths import AtPath, Found
from provisioning.operations import limits
from tests.provisioning.fakes import FakeHost

MEMLOCK = Limit(8 << 20, 8 << 20)
HARD = {"memlock": MEMLOCK, "nofile": Limit(1024, 20000), "stack": Limit(8 << 20, None)}
PLAIN = Limited(session=HARD, init=HARD, nr_open=1048576)
CONTAINER = replace(PLAIN, may_raise=False)
ASKED = {"memlock": "unlimited", "nofile": 65536, "stack": 67108864}
PAM = "".join(
    f"{who} - {line}\n"
    for who in ("*", "root")
    for line in ("memlock unlimited", "nofile 65536", "stack 65536")
)
UNIT = "[Service]\nLimitMEMLOCK=infinity\nLimitNOFILE=65536\nLimitSTACK=67108864\n"


def having(limited: Limited, **contents: str) -> FakeHost:
    """A host with those limits; *contents* of PAM's file and of the units', nothing by default."""
    answers: dict[Any, Any] = {f: None for f in limits.facts() if isinstance(f, AtPath)}
    for fact in answers:
        kind = "pam" if fact.path == limits.FILE else "unit" if "conf" in fact.path else ""
        if kind in contents:
            digest = hashlib.sha256(contents[kind].encode()).hexdigest()
            answers[fact] = Found("file", 0o644, digest)
        elif contents and not kind:
            answers[fact] = Found("directory", 0o755)
    return FakeHost(answers, Limits=limited)


def set_to(**values: int | None) -> dict[str, Limit]:
    return HARD | {name: Limit(value, value) for name, value in values.items()}


def test_logins_services_and_containers_get_them() -> None:
    """A file for PAM, a drop-in for each unit; this login too, which has begun before."""
    commands = list(limits.raised(having(PLAIN), ASKED))
    shown = [str(command) for command in commands]
    assert f"write {limits.FILE}" in shown[0]
    assert PAM == commands[0].stdin.decode()
    units = [c.stdin.decode() for c in commands if "conf" in str(c) and "systemd" in str(c)]
    assert [UNIT] * 3 == units
    login = "--memlock=unlimited:unlimited --nofile=65536:65536 --stack=67108864:67108864"
    assert ["sudo -n systemctl daemon-reload", f"raise the limits of this login: {login}"] == (
        shown[-2:]
    )
    assert all(command.sudo for command in commands)


def test_what_is_so_already_needs_nothing() -> None:
    """Files as they should be, processes with those limits or more."""
    session = set_to(memlock=None, nofile=65536, stack=None)
    docker = set_to(memlock=None, nofile=1048576, stack=67108864)
    so = replace(PLAIN, session=session, services={"docker.service": docker})
    assert [] == list(limits.raised(having(so, pam=PAM, unit=UNIT), ASKED))


def test_services_that_run_are_not_restarted() -> None:
    """Their limits are changed as they run; only those that are too low."""
    session = set_to(memlock=None, nofile=65536, stack=None)
    docker = set_to(memlock=8 << 20, nofile=1048576, stack=None)
    so = replace(PLAIN, session=session, services={"docker.service": docker})
    (command,) = limits.raised(having(so, pam=PAM, unit=UNIT), ASKED)
    expected = "raise the limits of docker.service: --memlock=unlimited:unlimited"
    assert expected == str(command)


def test_kib_are_rounded_up() -> None:
    """PAM's number is in KiB: never less than what was asked."""
    first = next(iter(limits.raised(having(PLAIN), {"memlock": 1025})))
    assert "* - memlock 2\nroot - memlock 2\n" == first.stdin.decode()


def test_unlimited_files_are_as_many_as_the_kernel_has() -> None:
    """It refuses more, and PAM would then refuse every login."""
    first = next(iter(limits.raised(having(PLAIN), {"nofile": "unlimited"})))
    assert "* - nofile 1048576\nroot - nofile 1048576\n" == first.stdin.decode()
    first = next(iter(limits.raised(having(PLAIN), {"nofile": "unlimited"}, nr_open=2000000)))
    assert "* - nofile 2000000\nroot - nofile 2000000\n" == first.stdin.decode()


def test_more_files_than_the_kernel_has_are_refused() -> None:
    """Unless that is raised too."""
    with pytest.raises(HostError, match=r"2000000 is more than the host's kernel allows .1048576"):
        limits.checked(having(PLAIN), {"nofile": 2000000})
    limits.checked(having(PLAIN), {"nofile": 2000000}, nr_open=2000000)


@pytest.mark.parametrize("asked", [{"memlock": "unlimited"}, {"nofile": 20001}], ids=str)
def test_a_container_cannot_raise_its_limits(asked: dict[str, str | int]) -> None:
    """Said before it is written down."""
    with pytest.raises(HostError, match="CAP_SYS_RESOURCE"):
        list(limits.raised(having(CONTAINER), asked))


def test_what_a_host_hides_is_left_to_its_kernel() -> None:
    """Nothing is known of init: what is asked is tried, and what is never there is not missed."""
    hidden = replace(PLAIN, init={}, nr_open=0)
    assert PAM == next(iter(limits.raised(having(hidden), ASKED))).stdin.decode()
    first = next(iter(limits.raised(having(hidden), {"nofile": "unlimited"})))
    assert "* - nofile 1048576\nroot - nofile 1048576\n" == first.stdin.decode()
    with pytest.raises(HostError, match="CAP_SYS_RESOURCE"):
        limits.checked(having(replace(hidden, may_raise=False)), {"nofile": 20001})


def test_a_container_may_go_as_far_as_it_can() -> None:
    """We change our own login, for root may not; what is above it waits for the next."""
    command = list(limits.raised(having(CONTAINER), {"nofile": 15000}))[-1]
    assert ("raise the limits of this login: --nofile=15000:15000", False) == (
        str(command),
        command.sudo,
    )
    lower = replace(CONTAINER, session=set_to(nofile=100))
    shown = [str(c) for c in limits.raised(having(lower), {"nofile": 15000})]
    assert [] == [line for line in shown if "login" in line]
