"""The checkout's own Pulumi backend: files below .dyno/, used where no Pulumi login is."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.setup.steps import Say, SetupError, call

_SALT = re.compile(r"^encryptionsalt: *(\S+) *$", re.MULTILINE)


def settings(checkout: Path) -> dict[str, str]:
    """The environment variables by which Pulumi uses this backend, and no other."""
    own = checkout / ".dyno"
    return {
        "PULUMI_HOME": str(own / "pulumi-home"),
        "PULUMI_BACKEND_URL": f"file://{own / 'pulumi'}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(own / "passphrase"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }


def environment(checkout: Path, engine: Path) -> dict[str, str]:
    """This process's environment less the person's Pulumi, with this backend and engine."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PULUMI_")}
    path = [str(checkout / ".venv" / "bin"), str(engine), kept.get("PATH", os.defpath)]
    return kept | settings(checkout) | {"PATH": os.pathsep.join(path)}


def has_login(environ: Mapping[str, str], checkout: Path) -> bool:
    """Whether the person uses a Pulumi backend of their own (the test `activate` makes too)."""
    if environ.get("PULUMI_BACKEND_URL") == settings(checkout)["PULUMI_BACKEND_URL"]:
        return False
    if environ.get("PULUMI_ACCESS_TOKEN") or environ.get("PULUMI_BACKEND_URL"):
        return True
    home = environ.get("PULUMI_HOME") or str(Path(environ.get("HOME", "/")) / ".pulumi")
    folder = Path(environ.get("PULUMI_CREDENTIALS_PATH") or home)
    try:
        text = (folder / "credentials.json").read_text()
    except OSError:
        return False
    return re.search(r'"current" *: *"[^"]+"', text) is not None


def prepare(checkout: Path) -> None:
    """The backend's folders and its passphrase are there; the passphrase is made once.

    Raises:
        SetupError: the passphrase is gone, and stacks that it locked are not.
    """
    own = checkout / ".dyno"
    own.mkdir(mode=0o700, exist_ok=True)
    for name in ("pulumi", "pulumi-home"):
        (own / name).mkdir(exist_ok=True)
    passphrase = own / "passphrase"
    if passphrase.exists():
        return
    left = sorted(path.stem for path in (own / "pulumi").glob(".pulumi/stacks/*/*.json"))
    if left:
        raise SetupError(
            f".dyno/passphrase is gone, and without it these stacks cannot be read: "
            f"{', '.join(left)}.",
            "Put the file back. If nothing of theirs runs any more, remove .dyno/pulumi instead.",
        )
    handle = os.open(passphrase, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(32))


def presets(checkout: Path) -> list[str]:
    """The names of the stacks that have a preset."""
    return sorted(path.stem for path in (checkout / "stacks" / "presets").glob("*.yaml"))


def make_stacks(checkout: Path, engine: Path, say: Say, names: list[str] | None = None) -> None:
    """Every preset's stack is in this backend, and its configuration can be unlocked.

    Raises:
        SetupError: a stack's file was locked with another passphrase, or Pulumi failed.
    """
    names = presets(checkout) if names is None else names
    made = []
    for name in names:
        state, salt = _state_salt(checkout, name), _file_salt(checkout, name)
        if state is None:
            made.append(name)
            _init(checkout, engine, name, say)
        elif salt and salt != state:
            _unlock(checkout, engine, name)
    there = ", ".join(names)
    say(f"{there} (new: {', '.join(made)})" if made else f"{there}")


def resources(checkout: Path, name: str) -> list[dict[str, Any]]:
    """What the stack *name* holds in this backend; empty when it is not up."""
    latest = _latest(checkout, name) or {}
    found: list[dict[str, Any]] = latest.get("resources") or []
    return found


def outputs(checkout: Path, name: str) -> dict[str, Any]:
    """The outputs of the stack *name* as its state holds them; secret ones stay encrypted."""
    for resource in resources(checkout, name):
        if resource.get("type") == "pulumi:pulumi:Stack":
            found: dict[str, Any] = resource.get("outputs") or {}
            return found
    return {}


def _latest(checkout: Path, name: str) -> dict[str, Any] | None:
    project = _project(checkout)
    path = checkout / ".dyno" / "pulumi" / ".pulumi" / "stacks" / project / f"{name}.json"
    try:
        state = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    latest: dict[str, Any] = state.get("checkpoint", {}).get("latest") or {}
    return latest


def _project(checkout: Path) -> str:
    match = re.search(r"^name: *(\S+)", (checkout / "Pulumi.yaml").read_text(), re.MULTILINE)
    if not match:
        raise SetupError("Pulumi.yaml has no name.", "Restore the file.")
    return match.group(1)


def _state_salt(checkout: Path, name: str) -> str | None:
    """The salt in the stack's state, "" when it has none; None when there is no such stack."""
    latest = _latest(checkout, name)
    if latest is None:
        return None
    return str(latest.get("secrets_providers", {}).get("state", {}).get("salt", ""))


def _config_file(checkout: Path, name: str) -> Path:
    return checkout / "stacks" / f"Pulumi.{name}.yaml"


def _file_salt(checkout: Path, name: str) -> str:
    path = _config_file(checkout, name)
    match = _SALT.search(path.read_text()) if path.exists() else None
    return match.group(1) if match else ""


def _init(checkout: Path, engine: Path, name: str, say: Say) -> None:
    say(f"making stack {name}")
    words = ["stack", "init", "--no-select", name]
    try:
        _pulumi(checkout, engine, *words)
    except subprocess.CalledProcessError as error:
        if not _incorrect(error):
            raise _failed(error) from error
        path = _config_file(checkout, name)
        if _SALT.sub("", path.read_text()).strip():
            raise _other_passphrase(path, checkout) from error
        say(f"stacks/{path.name} held the salt of a former passphrase and nothing else: remade")
        path.unlink()
        _pulumi(checkout, engine, *words)


def _unlock(checkout: Path, engine: Path, name: str) -> None:
    """Try the passphrase on a copy of the stack's file; its salt is not that of the state."""
    path = _config_file(checkout, name)
    trial = checkout / ".dyno" / f"trial.{name}.yaml"
    trial.write_text(path.read_text())
    words = ["config", "set", "--secret", "trial", "-", "--stack", name, "--config-file"]
    try:
        _pulumi(checkout, engine, *words, str(trial))
    except subprocess.CalledProcessError as error:
        if _incorrect(error):
            raise _other_passphrase(path, checkout) from error
        raise _failed(error) from error
    finally:
        trial.unlink()


def _pulumi(checkout: Path, engine: Path, *words: str) -> None:
    argv = ["pulumi", *words, "--non-interactive"]
    env = environment(checkout, engine)
    call([engine / "pulumi", *argv[1:]], cwd=checkout, env=env, timeout_s=120)


def _incorrect(error: subprocess.CalledProcessError) -> bool:
    return "incorrect passphrase" in str(error.stderr)


def _other_passphrase(path: Path, checkout: Path) -> SetupError:
    shown = shlex.quote(str(path.relative_to(checkout)))
    return SetupError(
        f"{shown} was locked with another passphrase than .dyno/passphrase (its encryptionsalt).",
        f"Move it away (mv {shown} {shown}.old), run `make setup` again, and set its keys anew; "
        "or put the passphrase that locked it into .dyno/passphrase.",
    )


def _failed(error: subprocess.CalledProcessError) -> SetupError:
    return SetupError(
        "Pulumi could not make the stacks of stacks/presets.",
        "The lines above are its own; run `make setup` again once that is mended.",
        str(error.stderr),
    )
