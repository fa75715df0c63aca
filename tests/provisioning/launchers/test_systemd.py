"""A unit of systemd, as it is written; that it runs so is seen in the lab."""

from __future__ import annotations

from typing import Any

import pytest

from provisioning.command import Secret
from provisioning.engines.base import API_KEY, PORT, ProcessSpec
from provisioning.errors import UsageError
from provisioning.launchers import systemd
from provisioning.launchers.base import KEY_FILE, SCRIPT

RUN = "20260101T000000Z-rehearsal-0a1b"
KEY = "k3y-that-nobody-sees-0123456789"


def made(**changes: Any) -> dict[str, str]:
    """Its files, secrets revealed."""
    values: dict[str, Any] = {
        "engine": "fake",
        "model": "m",
        "argv": ("/e/bin/vllm", "serve", "a model", "--port", PORT),
        "secret_env": {API_KEY: Secret(KEY)},
    }
    files = systemd.files(ProcessSpec(**(values | changes)), RUN)
    return {
        file.name: file.content.reveal() if isinstance(file.content, Secret) else file.content
        for file in files
    }


def lines(**changes: Any) -> list[str]:
    return made(**changes)[systemd.UNIT].splitlines()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--max-num-seqs", "--max-num-seqs"),
        ("org/model:1@x,y=z+", "org/model:1@x,y=z+"),
        ("", '""'),
        ("a b", '"a b"'),
        ('say "x"', r'"say \"x\""'),
        ("back\\slash", r'"back\\slash"'),
        ("two\nlines\tand\rmore", r'"two\nlines\tand\rmore"'),
        ("$HOME ${X}", '"$$HOME $${X}"'),
        ("100%h", '"100%%h"'),
        ("\x01\x7f", r'"\x01\x7f"'),
        ("\u2028", r'"\xe2\x80\xa8"'),
        ("é漢", '"é漢"'),
        ("{{ 7 }}", '"{{ 7 }}"'),
        (";", '";"'),
    ],
)
def test_a_word_is_one_word_for_systemd(text: str, expected: str) -> None:
    """Nothing of it is systemd's: quotes, escapes, variables, specifiers."""
    assert expected == systemd.word(text)


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_no_argument_can_hold_is_refused(text: str) -> None:
    """In arguments and in the environment."""
    with pytest.raises(UsageError, match="no text of UTF-8"):
        systemd.word(text)
    with pytest.raises(UsageError, match="no text of UTF-8"):
        made(env={"A": text})


def test_the_command_stands_in_the_unit() -> None:
    """Behind a shell that only takes its place, so that a program may have any name."""
    (command,) = (line for line in lines() if line.startswith("ExecStart="))
    start = r'ExecStart=/bin/sh -c "exec \"$$@\"" engine '
    assert start + '/e/bin/vllm serve "a model" --port ${DYNO_PORT}' == command


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("no", "no"),
        ("on-failure", "on-failure"),
        ("always", "always"),
        ("unless-stopped", "always"),
    ],
)
def test_it_is_started_again_as_the_recipe_says(ours: str, theirs: str) -> None:
    """In systemd's words."""
    assert f"Restart={theirs}" in lines(restart=ours)


@pytest.mark.parametrize(("seconds", "expected"), [(5.0, 5000), (0.3, 300), (0.0001, 1)])
def test_its_grace_is_never_for_ever(seconds: float, expected: int) -> None:
    """To systemd 0 would be that."""
    assert f"TimeoutStopSec={expected}ms" in lines(stop_grace_s=seconds)


def test_limits_are_of_the_unit() -> None:
    """Those of a login do not reach it."""
    found = lines(limits={"memlock": "unlimited", "nofile": 1048576})
    assert ["LimitMEMLOCK=infinity", "LimitNOFILE=1048576"] == [
        x for x in found if x[:5] == "Limit"
    ]
    assert [] == [x for x in lines() if x[:5] == "Limit"]


def test_the_whole_group_is_ended_and_every_line_kept() -> None:
    """Children too; and the journal drops nothing."""
    assert {"KillMode=control-group", "LogRateLimitIntervalSec=0"} <= set(lines())


def test_environment_is_in_systemds_quotes() -> None:
    """Line ends stand for themselves; four characters are escaped."""
    env = made(env={"A": "x \"y\" `z` $h \\ 's'", "B": "1\n2", "C": ""}, secret_env={})["env"]
    assert 'A="x \\"y\\" \\`z\\` \\$h \\\\ \'s\'"\nB="1\n2"\nC=""\n' == env


def test_secrets_are_in_their_files_alone() -> None:
    """The unit is for everybody to read."""
    files = made()
    assert {"env", KEY_FILE} == {name for name, text in files.items() if KEY in text}
    assert {SCRIPT, systemd.UNIT, "env", KEY_FILE} == files.keys()
    assert KEY_FILE not in made(secret_env={})


def test_the_units_are_named_by_the_run() -> None:
    """Whoever comes later finds them."""
    assert f"unit=dyno-{RUN}.service" in made()[SCRIPT].splitlines()
