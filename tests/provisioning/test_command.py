"""Commands as values, secrets, quoting."""

from __future__ import annotations

import copy
import pickle
import subprocess
from dataclasses import asdict, dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.command import REDACTED, Command, Fact, Secret, quote
from provisioning.facts.gpus import Gpus
from provisioning.facts.paths import AtPath

TOKEN = "s3cr3t-t0ken-0123456789"
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=40, deadline=None)  # each is a process
@given(st.lists(WORDS, min_size=1, max_size=4))
def test_quoted_words_reach_a_shell_unchanged(words: list[str]) -> None:
    """Whatever the words hold, a POSIX shell hands them over as they are."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"printf '%s\\0' {quote(*words)}"], capture_output=True, check=True
    )
    assert [w.encode() for w in words] == done.stdout.split(b"\0")[:-1]


def test_a_line_holds_sudo_before_the_environment() -> None:
    """Sudo drops our environment, so it is set behind it."""
    command = Command("apt-get", "install", "a b", sudo=True, env={"X": "1 2"})
    assert "sudo -n env 'X=1 2' apt-get install 'a b'" == command.line()


def test_a_command_shows_its_line_or_what_it_is_told_to() -> None:
    """`shown` stands for a long script in errors and logs."""
    assert ("true", "look") == (str(Command("true")), str(Command.shell("long", shown="look")))


def test_a_script_gets_its_arguments() -> None:
    """The raw form hands over arguments as $1 and $2."""
    line = Command.shell('echo "$2-$1"', "a b", "c").line()
    assert (
        "c-a b\n"
        == subprocess.run(
            ["/bin/sh", "-c", line], capture_output=True, text=True, check=True
        ).stdout
    )


@pytest.mark.parametrize("where", ["argv", "env"])
def test_a_secret_is_refused_outside_of_standard_input(where: str) -> None:
    """What is in argv or the environment of a command stands in process lists."""
    secret: Any = Secret(TOKEN)
    argv, env = (("login", secret), {}) if where == "argv" else (("login",), {"T": secret})
    with pytest.raises(TypeError, match="not Secret"):
        Command(*argv, env=env)


def test_a_secret_prints_redacted() -> None:
    """However it is printed, the text is not in it."""
    secret = Secret(TOKEN)
    shown = [str(secret), repr(secret), "{}".format(secret), f"{secret}", str([secret])]  # noqa: UP032 - each way is tried
    assert [REDACTED] * 4 + [f"[{REDACTED}]"] == shown


def test_a_command_with_a_secret_prints_without_it() -> None:
    """Neither its text nor its repr tells standard input."""
    command = Command("cat", stdin=Secret(TOKEN))
    assert TOKEN not in str(command) + repr(command)
    assert TOKEN.encode() == command.payload()


def test_a_secret_is_not_copied_into_other_data() -> None:
    """Pickle, deepcopy and asdict would spread it unseen: they fail."""

    @dataclass
    class Holder:
        secret: Secret

    for spread in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            spread(Secret(TOKEN))
    with pytest.raises(TypeError):
        asdict(Holder(Secret(TOKEN)))


def test_output_is_cleared_of_the_secret_and_its_words() -> None:
    """A command that echoes its environment file tells nothing."""
    command = Command("cat", stdin=Secret(f"VLLM_API_KEY='{TOKEN}'\nA=b\n"))
    assert f"key {REDACTED}, A=b" == command.redact(f"key {TOKEN}, A=b")


def test_without_a_secret_nothing_is_redacted() -> None:
    """Output of other commands stays whole."""
    assert "a long word" == Command("cat", stdin="a long word").redact("a long word")


def test_an_empty_secret_redacts_nothing() -> None:
    """An empty text is in every text: it must not be replaced."""
    assert "abc" == Secret("").redact("abc")


def test_sudo_is_not_given_a_secret_environment() -> None:
    """It would have to stand in the argument list of sudo."""
    with pytest.raises(ValueError, match="argument list"):
        Command("true", sudo=True, secret_env={"A": Secret("b")})


def test_the_password_of_a_url_is_cleared_by_itself() -> None:
    """As it stands there, and as it is meant; in another URL, too."""
    secret = Secret("https://me:p%40ss@mirror/simple")
    assert f"{REDACTED} https://me:{REDACTED}@cdn/x {REDACTED}" == secret.redact(
        "https://me:p%40ss@mirror/simple https://me:p%40ss@cdn/x p@ss"
    )


def test_secrets_compare_by_value() -> None:
    """Equal ones are equal, and hash so; other things are not."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != "a"
    assert 1 == len({Secret("a"), Secret("a")})


def test_facts_are_equal_by_kind_and_arguments() -> None:
    """The cache of a host knows a fact by what it asks."""
    facts: set[Fact[Any]] = {Gpus(), Gpus(), AtPath("/a"), AtPath("/a"), AtPath("/b")}
    assert 3 == len(facts)
    assert Gpus() != AtPath("/a")
