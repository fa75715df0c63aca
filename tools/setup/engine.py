"""The Pulumi engine: from PATH, kept in .tools/, by Pulumi's installer, or built with Go.

An engine is four programs in one folder: `pulumi`, the Python language host, and the two
scripts that these start.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.setup.steps import Say, SetupError, call

FLOOR = (3, 150, 0)
INSTALLER = "https://get.pulumi.com/install.sh"
CONNECT_S = 5
HOST = "pulumi-language-python"
SCRIPTS = {
    "pulumi-language-python-exec": "python/cmd",
    "pulumi-resource-pulumi-python": "python/dist",
}
PROGRAMS = ("pulumi", HOST, *SCRIPTS)

_ENGINE = "github.com/pulumi/pulumi/pkg/v3"
_SDK = "github.com/pulumi/pulumi/sdk/v3"


@dataclass(frozen=True)
class Engine:
    """An engine that answered: its version, and the folder of its `pulumi`."""

    version: str
    folder: Path


class Unavailable(Exception):  # noqa: N818 - an answer, not an error: the next way is tried
    """This way to an engine is closed; the message says why."""


Way = Callable[[Path, Say], Engine]


def folder(checkout: Path) -> Path:
    """Where the checkout keeps an engine of its own."""
    return checkout / ".tools" / "bin"


def ensure(checkout: Path, say: Say, ways: tuple[Way, ...] | None = None) -> Engine:
    """The engine to use, from the first way that is open.

    Raises:
        SetupError: no way is.
    """
    reasons = []
    for way in ways or (on_path, kept, installed, built):
        found = _try(way, checkout, say)
        if isinstance(found, Engine):
            say(f"pulumi {found.version} {_place(checkout, found.folder)}")
            return found
        if way not in (on_path, kept):  # these two are closed on most machines
            say(found)
        reasons.append(f"  {found}")
    raise SetupError(
        "There is no Pulumi engine, and none of the ways to one is open:\n" + "\n".join(reasons),
        f"Install Pulumi {_dotted(FLOOR)} or newer, or Go; then run `make setup` again.",
    )


def _try(way: Way, checkout: Path, say: Say) -> Engine | str:
    try:
        return way(checkout, say)
    except Unavailable as why:
        return str(why)


def on_path(checkout: Path, say: Say) -> Engine:
    """A person's own Pulumi, when it is recent enough and can run Python."""
    path = _path_without(folder(checkout))
    pulumi = shutil.which("pulumi", path=path)
    if not pulumi:
        raise Unavailable("PATH: no pulumi there")
    version = version_of(Path(pulumi))
    if not version or version < FLOOR:
        said = _dotted(version) if version else "no version"
        say(f"pulumi on PATH is passed over: {said}, not {_dotted(FLOOR)} or newer")
        raise Unavailable(f"PATH: {pulumi} says {said}, {_dotted(FLOOR)} is needed")
    beside = {str(Path(pulumi).parent), str(Path(pulumi).resolve().parent)}
    if not shutil.which(HOST, path=os.pathsep.join([*beside, path])):
        say(f"pulumi on PATH is passed over: no {HOST} with it")
        raise Unavailable(f"PATH: {pulumi} comes without {HOST}")
    return Engine(_dotted(version), Path(pulumi).parent)


def kept(checkout: Path, say: Say) -> Engine:  # noqa: ARG001 - every way has one signature
    """The engine that an earlier set-up left in .tools/bin."""
    own = folder(checkout)
    version = version_of(own / "pulumi") if _whole(own) else None
    if not version or version < FLOOR:
        raise Unavailable(".tools/bin: no engine kept there")
    return Engine(_dotted(version), own)


def installed(checkout: Path, say: Say) -> Engine:
    """The pinned version, by Pulumi's own installer, kept away from home and profile."""
    pin = pinned(checkout)
    say(f"asking Pulumi's installer for {pin}")
    try:
        with urllib.request.urlopen(INSTALLER, timeout=CONNECT_S) as reply:
            script = reply.read()
    except (OSError, ValueError) as error:
        raise Unavailable(f"Pulumi's installer: {INSTALLER} is out of reach ({error})") from error
    with _stage(checkout) as stage:
        home = stage / "home"
        home.mkdir()
        (home / ".curlrc").write_text(f"connect-timeout = {CONNECT_S}\n")
        (home / "install.sh").write_bytes(script)
        env = {k: v for k, v in os.environ.items() if k not in ("SHELL", "CURL_HOME")}
        env |= {"HOME": str(home), "PULUMI_HOME": str(home), "TMPDIR": str(home)}
        root = stage / "root"
        options = ["--version", pin, "--install-root", str(root), "--no-edit-path"]
        try:
            call(["sh", "install.sh", *options], cwd=home, env=env, timeout_s=600, say=say)
            return _adopt(checkout, root / "bin", stage)
        except (OSError, subprocess.SubprocessError) as error:
            raise Unavailable(f"Pulumi's installer: {_last_line(error)}") from error


def built(checkout: Path, say: Say) -> Engine:
    """The pinned version, built from Go modules (three to five minutes on two cores)."""
    if not shutil.which("go"):
        raise Unavailable("Go: no go on PATH")
    pin = pinned(checkout)
    modules = checkout / "tools" / "pulumi"
    stamp = f"-X {_SDK}/go/common/version.Version=v{pin}"  # without it `pulumi version` is empty
    env = os.environ | {"CGO_ENABLED": "0", "GOWORK": "off"}

    def go(module: str, *words: str | Path) -> str:
        return call(["go", *words], cwd=modules / module, env=env, timeout_s=3600, say=say)

    def build(module: str, program: Path, package: str, flags: str) -> None:
        go(module, "build", "-trimpath", "-ldflags", f"-s -w {flags}", "-o", program, package)

    with _stage(checkout) as stage:
        try:
            say("building with Go, 1 of 2: the Python language host")
            build("language-python", stage / "bin" / HOST, f"{_SDK}/python/cmd/{HOST}", "")
            say(f"building with Go, 2 of 2: pulumi {pin} (minutes the first time)")
            build("engine", stage / "bin" / "pulumi", f"{_ENGINE}/cmd/pulumi", stamp)
            sources = Path(go("engine", "list", "-m", "-f", "{{.Dir}}", _SDK).strip())
            for name, below in SCRIPTS.items():
                # copied without its mode: files in the module cache are read-only
                shutil.copyfile(sources / below / name, stage / "bin" / name)
                (stage / "bin" / name).chmod(0o755)
            return _adopt(checkout, stage / "bin", stage)
        except (OSError, subprocess.SubprocessError) as error:
            raise Unavailable(f"Go: {_last_line(error)}") from error


def pinned(checkout: Path) -> str:
    """The version that tools/pulumi/engine pins, as ``3.250.0``."""
    text = (checkout / "tools" / "pulumi" / "engine" / "go.mod").read_text()
    match = re.search(rf"{re.escape(_ENGINE)} v(\d+\.\d+\.\d+)", text)
    if not match:
        raise SetupError(f"tools/pulumi/engine/go.mod pins no {_ENGINE}.", "Restore the file.")
    return match.group(1)


def version_of(pulumi: Path) -> tuple[int, ...] | None:
    """What ``pulumi version`` answers; None when it does not."""
    with tempfile.TemporaryDirectory() as home:  # even this question writes a log to Pulumi's home
        env = os.environ | {"PULUMI_HOME": home, "PULUMI_SKIP_UPDATE_CHECK": "true"}
        try:
            said = call([pulumi, "version"], cwd=Path(home), env=env, timeout_s=30)
        except (OSError, subprocess.SubprocessError):
            return None
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in match.groups()) if match else None


@contextmanager
def _stage(checkout: Path) -> Iterator[Path]:
    """A folder for a half-made engine, gone at the end whatever happens."""
    stage = checkout / ".tools" / "engine.part"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _adopt(checkout: Path, fresh: Path, stage: Path) -> Engine:
    """Put the folder *fresh* in the place of .tools/bin once it has answered."""
    version = version_of(fresh / "pulumi")
    if not _whole(fresh) or not version:
        raise Unavailable("what it made is not an engine that answers `pulumi version`")
    own = folder(checkout)
    if own.exists():
        own.rename(stage / "former")
    fresh.rename(own)
    return Engine(_dotted(version), own)


def _whole(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in PROGRAMS)


def _path_without(own: Path) -> str:
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(entry for entry in entries if entry and Path(entry) != own)


def _place(checkout: Path, where: Path) -> str:
    return "in .tools/bin" if where == folder(checkout) else f"at {where}"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _last_line(error: Exception) -> str:
    said = str(getattr(error, "stderr", "") or error).strip().splitlines()
    return said[-1] if said else type(error).__name__
