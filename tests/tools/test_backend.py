"""The checkout's own Pulumi backend."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from tests.tools import fakes
from tools.setup import backend
from tools.setup.steps import SetupError

FOREIGN_SALT = (
    "encryptionsalt: v1:/CWAXBE1RN0=:v1:VqI/+PaAmsEZSonS:PFs/UFB9Ya2FO8VDjPxlUFmJe+uxsg==\n"
)
NO_ENGINE = Path("/nonexistent")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout under a name with a space."""
    return fakes.checkout(tmp_path / "a checkout")


@pytest.fixture
def engine() -> Path:
    """The folder of the real engine."""
    pulumi = shutil.which("pulumi")
    assert pulumi, "no Pulumi engine: run `make setup`"
    return Path(pulumi).parent


def credentials(home: Path, current: str) -> None:
    """Pulumi's own file of logins, with *current* as the one in use."""
    home.mkdir(exist_ok=True)
    (home / "credentials.json").write_text(f'{{\n  "current": "{current}"\n}}')


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"PULUMI_ACCESS_TOKEN": "x"}, True),
        ({"PULUMI_BACKEND_URL": "s3://bucket"}, True),
        ({"PULUMI_BACKEND_URL": "own"}, False),
        ({"HOME": "home"}, True),
        ({"PULUMI_HOME": "home/.pulumi"}, True),
        ({"PULUMI_CREDENTIALS_PATH": "home/.pulumi"}, True),
        ({"HOME": "home", "PULUMI_HOME": "elsewhere"}, False),
        ({"PULUMI_HOME": "logged-out"}, False),
    ],
)
def test_a_login_is_seen(
    checkout: Path, tmp_path: Path, environ: dict[str, str], *, expected: bool
) -> None:
    """A token, a backend or a current account is a login; this checkout's backend is none."""
    (tmp_path / "home").mkdir()
    credentials(tmp_path / "home" / ".pulumi", "https://api.pulumi.com")
    credentials(tmp_path / "logged-out", "")
    own = backend.settings(checkout)["PULUMI_BACKEND_URL"]
    folders = ("HOME", "PULUMI_HOME", "PULUMI_CREDENTIALS_PATH")
    placed = {k: str(tmp_path / v) if k in folders else v for k, v in environ.items()}
    if placed.get("PULUMI_BACKEND_URL") == "own":
        placed["PULUMI_BACKEND_URL"] = own

    assert expected == backend.has_login({"HOME": str(tmp_path)} | placed, checkout)


def test_the_passphrase_is_secret_and_made_once(checkout: Path) -> None:
    """Random, readable by its owner only, and the same after a second set-up."""
    backend.prepare(checkout)
    passphrase = checkout / ".dyno" / "passphrase"
    first = passphrase.read_text()

    backend.prepare(checkout)

    assert len(first) >= 32
    assert first == passphrase.read_text()
    assert stat.S_IMODE(passphrase.stat().st_mode) == 0o600


def test_a_lost_passphrase_is_not_replaced_over_stacks(checkout: Path) -> None:
    """A new passphrase could not read the stacks that are there: refused, with their names."""
    backend.prepare(checkout)
    state = checkout / ".dyno" / "pulumi" / ".pulumi" / "stacks" / "llm-dyno" / "local.json"
    state.parent.mkdir(parents=True)
    state.write_text("{}")
    (checkout / ".dyno" / "passphrase").unlink()

    with pytest.raises(SetupError, match="cannot be read: local"):
        backend.prepare(checkout)


def test_nothing_of_the_persons_pulumi_goes_along(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment for the engine holds this backend's variables and no other of Pulumi's."""
    monkeypatch.setenv("PULUMI_ACCESS_TOKEN", "x")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "x")

    env = backend.environment(checkout, NO_ENGINE)

    assert backend.settings(checkout) == {k: v for k, v in env.items() if k.startswith("PULUMI_")}
    assert str(NO_ENGINE) == env["PATH"].split(":")[1]


@pytest.mark.integration
def test_the_stacks_of_the_presets_are_made_once(checkout: Path, engine: Path) -> None:
    """Each preset gets its stack; a second time no engine is started at all."""
    backend.prepare(checkout)
    said: list[str] = []

    backend.make_stacks(checkout, engine, said.append)
    backend.make_stacks(checkout, NO_ENGINE, said.append)

    assert ["existing, local (new: existing, local)", "existing, local"] == [said[2], said[3]]
    assert [] == backend.resources(checkout, "local")


@pytest.mark.integration
def test_a_bare_leftover_is_remade(checkout: Path, engine: Path) -> None:
    """A stack file that holds nothing but another passphrase's salt is replaced, and that said."""
    backend.prepare(checkout)
    leftover = checkout / "stacks" / "Pulumi.local.yaml"
    leftover.write_text(FOREIGN_SALT)
    said: list[str] = []

    backend.make_stacks(checkout, engine, said.append, ["local"])

    assert leftover.read_text() != FOREIGN_SALT
    assert "stacks/Pulumi.local.yaml held the salt of a former passphrase" in said[1]


@pytest.mark.integration
@pytest.mark.parametrize("stack_is_there", [False, True])
def test_a_leftover_with_keys_is_explained(
    checkout: Path, engine: Path, *, stack_is_there: bool
) -> None:
    """A file with a person's own keys is left as it is; the message says how to go on."""
    backend.prepare(checkout)
    if stack_is_there:
        backend.make_stacks(checkout, engine, lambda _: None, ["local"])
    leftover = checkout / "stacks" / "Pulumi.local.yaml"
    leftover.write_text(FOREIGN_SALT + "config:\n  llm-dyno:ttl: 2h\n")

    with pytest.raises(SetupError, match=r"Pulumi\.local\.yaml was locked with another passphrase"):
        backend.make_stacks(checkout, engine, lambda _: None, ["local"])

    assert "llm-dyno:ttl: 2h" in leftover.read_text()
    assert [] == list((checkout / ".dyno").glob("trial.*"))


@pytest.mark.integration
def test_another_salt_of_the_same_passphrase_is_fine(checkout: Path, engine: Path) -> None:
    """The file may be deleted and made again by Pulumi: its salt is new, the passphrase is not."""
    backend.prepare(checkout)
    backend.make_stacks(checkout, engine, lambda _: None, ["existing", "local"])
    file = checkout / "stacks" / "Pulumi.local.yaml"
    file.write_text((checkout / "stacks" / "Pulumi.existing.yaml").read_text())
    said: list[str] = []

    backend.make_stacks(checkout, engine, said.append, ["local"])

    assert ["local"] == said
