"""Nginx's configuration; that it does what it says is seen in the lab."""

from __future__ import annotations

import re

from provisioning import front
from provisioning.engines.base import PORT

RUN = "20260101T000000Z-rehearsal-0a1b"
CONFIG = front.config([20001, 20002, 20003], RUN)
DIRECTIVES = [line.strip().split("#")[0].strip() for line in CONFIG.splitlines()]


def test_all_engines_are_behind_it() -> None:
    """Counted together, and none is ever taken out in silence."""
    servers = [line for line in DIRECTIVES if line.startswith("server 127")]
    assert [f"server 127.0.0.1:{n} max_fails=0;" for n in (20001, 20002, 20003)] == servers
    assert {"least_conn;", "zone engines 256k;", "proxy_next_upstream off;"} <= set(DIRECTIVES)


def test_it_listens_on_loopback_alone() -> None:
    """On the port that is found free on the host."""
    listens = [line for line in DIRECTIVES if line.startswith("listen ")]
    assert ["listen 127.0.0.1:{port} backlog=4096;"] == listens
    assert PORT == "{port}"
    assert 1 == sum("{port}" in line for line in DIRECTIVES)


def test_nothing_waits_in_it() -> None:
    """No buffer for replies, no limit of time or size that a load would reach."""
    assert {
        "proxy_buffering off;",
        "proxy_http_version 1.1;",
        'proxy_set_header Connection "";',
        "proxy_read_timeout 1h;",
        "client_max_body_size 0;",
        "access_log off;",
    } <= set(DIRECTIVES)


def test_it_needs_no_folder_of_the_systems() -> None:
    """All that it writes lies beside its configuration."""
    assert [] == re.findall(r" /(?!$|dev)\S*;", "\n".join(DIRECTIVES))
    assert 5 == sum("_temp_path" in line for line in DIRECTIVES)


def test_braces_are_in_pairs() -> None:
    """But for comments."""
    text = "\n".join(DIRECTIVES)
    assert text.count("{") == text.count("}") > 0


def test_it_takes_a_port_of_the_recipe() -> None:
    """Else any that is free; its own folder is known by the run's id."""
    assert (8000, None) == (front.spec("m", 8000).port, front.spec("m", None).port)
    assert {} == front.spec("m", None).secret_env
    names = [file.name for file in front.Launcher("x").files(front.spec("m", None), RUN)]
    assert {"engine.sh", "env", "nginx.conf"} == set(names)
