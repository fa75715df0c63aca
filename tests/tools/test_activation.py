"""The file `activate`, in every shell that is here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.test_backend import credentials
from tools.setup import activation, backend

SHELLS = [shell for shell in ("bash", "dash", "zsh") if shutil.which(shell)]
LOGINS = (
    "PULUMI_ACCESS_TOKEN",
    "PULUMI_BACKEND_URL",
    "PULUMI_CREDENTIALS_PATH",
    "PULUMI_HOME",
    "HOME",
)
DUMP = f"{sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with an `activate`, under a name that needs quoting."""
    folder = tmp_path / "it's a checkout"
    folder.mkdir()
    activation.write(folder, own_engine=True, say=lambda _: None)
    return folder


def after(shell: str, checkout: Path, script: str, **env: str) -> dict[str, str]:
    """The environment that a command sees at the end of *script*."""
    base = {"PATH": os.environ["PATH"], "HOME": str(checkout)}
    done = subprocess.run(
        [shell, "-euc", f"{script}\n{DUMP}"],
        cwd=checkout,
        env=base | env,
        capture_output=True,
        text=True,
        check=True,
    )
    seen: dict[str, str] = json.loads(done.stdout)
    return seen


def pulumi(env: dict[str, str]) -> dict[str, str]:
    """Pulumi's variables in *env*."""
    return {k: v for k, v in env.items() if k.startswith("PULUMI_")}


def test_two_shells_at_least() -> None:
    """A machine for tests has bash and dash."""
    assert len(SHELLS) >= 2


@pytest.mark.parametrize("shell", SHELLS)
def test_programs_and_backend_of_the_checkout(shell: str, checkout: Path) -> None:
    """The checkout's programs come first on PATH; Pulumi uses .dyno and nothing else."""
    env = after(shell, checkout, ". ./activate", PULUMI_CONFIG_PASSPHRASE="another")

    folders = [str(checkout / ".venv" / "bin"), str(checkout / ".tools" / "bin")]
    assert folders == env["PATH"].split(":")[:2]
    assert backend.settings(checkout) == pulumi(env)


@pytest.mark.parametrize("shell", SHELLS)
def test_twice_is_once(shell: str, checkout: Path) -> None:
    """Sourcing it again changes nothing."""
    once = after(shell, checkout, ". ./activate")

    assert pulumi(once) == pulumi(after(shell, checkout, ". ./activate; . ./activate"))
    assert once["PATH"] == after(shell, checkout, ". ./activate; . ./activate")["PATH"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_below_stays_with_the_backend(shell: str, checkout: Path) -> None:
    """The checkout's own backend, inherited from an activated shell, is not taken for a login."""
    inherited = after(shell, checkout, ". ./activate")

    stale = pulumi(inherited) | {"PULUMI_CONFIG_PASSPHRASE": "another"}
    again = after(shell, checkout, ". ./activate", **stale)

    assert backend.settings(checkout) == pulumi(again)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("login", LOGINS)
def test_a_login_is_never_overridden(shell: str, checkout: Path, login: str) -> None:
    """With a Pulumi login of the person's own, no variable of Pulumi's is touched."""
    credentials(checkout / "theirs", "https://api.pulumi.com")
    if login == "HOME":
        (checkout / "theirs").rename(checkout / ".pulumi")
    own = {} if login == "HOME" else {login: "theirs"}

    assert own == pulumi(after(shell, checkout, ". ./activate", **own))


@pytest.mark.parametrize("shell", SHELLS)
def test_deactivate_takes_everything_back(shell: str, checkout: Path) -> None:
    """After deactivate_dyno every variable is what it was, set or not."""
    before = {"PULUMI_HOME": "theirs", "PULUMI_CONFIG_PASSPHRASE": "a b"}
    plain = after(shell, checkout, ":", **before)

    restored = after(shell, checkout, ". ./activate; deactivate_dyno", **before)

    assert plain == restored


def test_without_an_engine_of_its_own(checkout: Path) -> None:
    """Where the person's own Pulumi is used, .tools/bin stays off PATH."""
    assert "/.tools/bin" not in activation.text(checkout, own_engine=False)


def test_the_file_is_written_only_when_it_changes(checkout: Path) -> None:
    """An up-to-date file keeps its time stamp; a stale one is replaced."""
    path = checkout / "activate"
    os.utime(path, ns=(1, 1))
    activation.write(checkout, own_engine=True, say=lambda _: None)
    kept = path.stat().st_mtime_ns

    activation.write(checkout, own_engine=False, say=lambda _: None)

    assert (1, activation.text(checkout, own_engine=False)) == (kept, path.read_text())
