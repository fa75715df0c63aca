"""Packages, limits, kernel settings and the clock of a host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from provisioning.deploys import preflight, system
from provisioning.errors import HostError
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab_tests.deploying import deploy, needs

pytestmark = [pytest.mark.integration, pytest.mark.lab]

LIMITS = {"nofile": 15000, "memlock": 4 << 20}
PAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[LabHost]:
    made = lab.host()
    yield made
    lab.remove(made)


def test_all_is_set_once_and_again_where_it_drifted(host: LabHost) -> None:
    """Packages, settings, pages: now and in files; a second run has nothing to do."""
    settings = {"vm.swappiness": 10, "net.ipv4.tcp_rmem": "4096 131072 6291456"}
    asked = needs(host, packages=["jq"], sysctl=settings, hugepages={"2048kB": 16}, limits=LIMITS)
    deploy(host, asked, preflight, system)
    now = f"jq --version; cat /proc/sys/vm/swappiness {PAGES}"
    told = host.docker_exec(now)
    assert ("jq-", ["10", "16"]) == (told[:3], told.splitlines()[1:])
    assert [] == deploy(host, asked, preflight, system)
    host.reboot()
    assert told == host.docker_exec(now)
    assert [] == deploy(host, asked, preflight, system)
    host.docker_exec(
        f"apt-get remove -qqy jq 2>&1; echo 60 >/proc/sys/vm/swappiness; echo 0 >{PAGES};"
        "echo x >>/etc/sysctl.d/99-zz-llm-dyno.conf; chmod 600 /etc/security/limits.d/90-llm-dyno*"
    )
    changes = [line.partition(" (")[0] for line in deploy(host, asked, preflight, system)]
    assert {
        "install jq",
        "set vm.swappiness to 10",
        "write /etc/sysctl.d/99-zz-llm-dyno.conf",
        "reserve 16 huge pages of 2048kB",
        "sudo -n chmod 644 /etc/security/limits.d/90-llm-dyno.conf",
    } == set(changes)
    assert [] == deploy(host, asked, preflight, system)


def test_limits_hold_for_logins_and_services(host: LabHost) -> None:
    """Those that are made from then on; in a drop-in for what containers inherit from."""
    deploy(host, needs(host, limits=LIMITS), system)
    told = host.ssh("ulimit -n; ulimit -Hn; ulimit -l").stdout.split()
    assert ["15000", "15000", "4096"] == told
    unit = host.docker_exec("cat /etc/systemd/system/containerd.service.d/llm-dyno-limits.conf")
    assert ["[Service]", "LimitMEMLOCK=4194304", "LimitNOFILE=15000"] == unit.splitlines()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"limits": {"memlock": "unlimited"}}, r"host\.limits\.memlock: .* cannot raise it above"),
        ({"limits": {"nofile": 2**40}}, r"host\.limits\.nofile: .* is more than the host's kernel"),
        ({"sysctl": {"kernel.ostype": "x"}}, r"host\.sysctl: kernel\.ostype cannot be set on"),
        ({"sysctl": {"vm.nope": 1}}, r"the kernel of .* has no setting vm\.nope"),
        ({"hugepages": {"1048576kB": 1}}, r"host\.hugepages cannot be set on .* can only be read"),
        ({"hugepages": {"2048kB": 10**7}}, r"host\.hugepages asks for 20000000 MiB, and "),
        ({"time_sync": True}, r"No time service can run on .*: it is a container"),
        ({"memory_gb": 10000}, r"GB of memory, and the recipe needs 10000 GB"),
        ({"free_disk_gb": 100000}, r"GB left, and the recipe needs 100000 GB"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_said_before_anything_is_changed(
    host: LabHost, asked: dict[str, Any], says: str
) -> None:
    """One sentence, with what to do."""
    host.docker_exec(f"umount {PAGES.replace('2048', '1048576')} 2>/dev/null || :")
    before = host.docker_exec("ls -lR --time-style=full-iso /etc | cksum")
    with pytest.raises(HostError, match=says) as caught:
        deploy(host, needs(host, packages=["tree"], **asked), preflight, system)
    assert caught.value.advice
    assert before == host.docker_exec("ls -lR --time-style=full-iso /etc | cksum")


def test_a_value_that_the_kernel_refuses_is_not_written_down(host: LabHost) -> None:
    """It would be tried at each boot."""
    path = "/etc/sysctl.d/99-zz-llm-dyno.conf"
    setting = "/proc/sys/vm/overcommit_memory"
    host.docker_exec(f"rm -f {path}; mount --bind /proc/1/oom_score_adj {setting}")
    with pytest.raises(HostError, match=r"does not take 5000 for vm\.overcommit_memory"):
        deploy(host, needs(host, sysctl={"vm.overcommit_memory": 5000}), system)
    assert "no" == host.docker_exec(f"umount {setting}; [ -e {path} ] || echo no")


def test_an_unsupported_distribution_is_named(lab: Lab) -> None:
    """Before anything is done."""
    fedora = 'NAME="Fedora Linux"\nVERSION_ID=43\nID=fedora\nPRETTY_NAME="Fedora Linux 43"\n'
    host = lab.host(release=fedora)
    try:
        with pytest.raises(HostError, match="runs Fedora Linux 43, which is not supported"):
            deploy(host, needs(host, packages=["jq"]), preflight, system)
        assert [] == deploy(host, needs(host, memory_gb=1), preflight, system)
    finally:
        lab.remove(host)
