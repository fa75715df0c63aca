"""The ways to a Pulumi engine, each with stand-in programs."""

from __future__ import annotations

import io
import os
import urllib.request
from pathlib import Path

import pytest

from tests.tools import fakes
from tools.setup import engine
from tools.setup.engine import Engine, Unavailable
from tools.setup.steps import SetupError


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout without an engine."""
    return fakes.checkout(tmp_path / "checkout")


@pytest.fixture
def bin_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, first on a PATH that holds no engine and no Go."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return folder


def quiet(line: str) -> None:
    """Say nothing."""
    assert line


def script(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Pulumi's site answers with an installer of this body; $root is the folder asked for."""
    head = "while [ $# -gt 0 ]; do case $1 in --install-root) root=$2; shift;; esac; shift; done\n"
    reply = head + body
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(reply.encode()))


def nothing_half_made(checkout: Path) -> bool:
    """Whether .tools is as empty as before."""
    return not list((checkout / ".tools").glob("*"))


def test_a_recent_pulumi_on_path_is_used(checkout: Path, bin_on_path: Path) -> None:
    """Pulumi 3.150 or newer with its language host beside it is the engine."""
    fakes.whole_engine(bin_on_path, "v3.150.0")

    assert Engine("3.150.0", bin_on_path) == engine.on_path(checkout, quiet)


def test_an_old_pulumi_on_path_is_passed_over(checkout: Path, bin_on_path: Path) -> None:
    """An older one is named with its version and with what is needed."""
    fakes.whole_engine(bin_on_path, "v3.149.9")

    with pytest.raises(Unavailable, match=r"3\.149\.9, 3\.150\.0 is needed"):
        engine.on_path(checkout, quiet)


def test_a_pulumi_that_cannot_run_python_is_passed_over(checkout: Path, bin_on_path: Path) -> None:
    """Without the Python language host it is no engine for this project."""
    fakes.program(bin_on_path / "pulumi", "echo v3.200.0")

    with pytest.raises(Unavailable, match="without pulumi-language-python"):
        engine.on_path(checkout, quiet)


def test_the_own_engine_is_not_the_persons(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an activated shell .tools/bin is on PATH; that is not a Pulumi of the person's own."""
    own = fakes.whole_engine(engine.folder(checkout))
    monkeypatch.setenv("PATH", str(own))

    with pytest.raises(Unavailable, match="no pulumi there"):
        engine.on_path(checkout, quiet)


def test_asking_the_version_leaves_the_home_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pulumi version` writes a log to Pulumi's home: it gets one that is thrown away."""
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "precious"))
    pulumi = fakes.program(tmp_path / "pulumi", 'mkdir -p "$PULUMI_HOME/logs"; echo v3.200.1')

    assert engine.version_of(pulumi) == (3, 200, 1)
    assert not (tmp_path / "precious").exists()


def test_a_kept_engine_is_used_again(checkout: Path) -> None:
    """What an earlier set-up left in .tools/bin is the engine."""
    own = fakes.whole_engine(engine.folder(checkout))

    assert Engine("3.250.0", own) == engine.kept(checkout, quiet)


@pytest.mark.parametrize("name", engine.PROGRAMS)
def test_a_kept_engine_is_whole(checkout: Path, name: str) -> None:
    """With one of its four programs missing, it is none."""
    (fakes.whole_engine(engine.folder(checkout)) / name).unlink()

    with pytest.raises(Unavailable):
        engine.kept(checkout, quiet)


def test_a_kept_engine_answers(checkout: Path) -> None:
    """A pulumi that exits with an error is none either."""
    own = fakes.whole_engine(engine.folder(checkout))
    fakes.program(own / "pulumi", "exit 3")

    with pytest.raises(Unavailable):
        engine.kept(checkout, quiet)


def test_the_installer_fills_the_checkout(
    checkout: Path, bin_on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pinned version is asked for, put into .tools/bin, and nothing else is left."""
    assert bin_on_path.exists()
    script(monkeypatch, f'set -- "$root/bin"\n{fakes.MAKE_ENGINE}')

    found = engine.installed(checkout, quiet)

    assert Engine("3.250.0", checkout / ".tools" / "bin") == found
    assert ["bin"] == [path.name for path in (checkout / ".tools").iterdir()]


def test_the_installer_replaces_a_broken_engine(
    checkout: Path, bin_on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lay in .tools/bin and did not answer gives way to what does."""
    assert bin_on_path.exists()
    fakes.program(engine.folder(checkout) / "pulumi", "exit 3")
    script(monkeypatch, f'set -- "$root/bin"\n{fakes.MAKE_ENGINE}')

    engine.installed(checkout, quiet)

    assert Engine("3.250.0", engine.folder(checkout)) == engine.kept(checkout, quiet)


def test_the_installer_sees_no_home_and_no_profile(
    checkout: Path, bin_on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HOME, PULUMI_HOME and SHELL of the person are out of the installer's reach."""
    assert bin_on_path.exists()
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "PULUMI_HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("SHELL", "/bin/bash")
    body = 'touch "$HOME/.bashrc" "$PULUMI_HOME/credentials.json"; [ -z "$SHELL" ] || exit 1\n'
    script(monkeypatch, f'{body}set -- "$root/bin"\n{fakes.MAKE_ENGINE}')

    engine.installed(checkout, quiet)

    assert [] == list(home.iterdir())


@pytest.mark.parametrize(
    "body",
    [
        "echo no such version >&2; exit 1",
        'mkdir -p "$root/bin"; echo cut > "$root/bin/pulumi"',
        f'set -- "$root/bin"\n{fakes.MAKE_ENGINE}\nrm "$1/pulumi-language-python"',
        "true",
    ],
    ids=["fails", "cut", "half", "empty"],
)
def test_a_failed_installer_leaves_nothing(
    checkout: Path, bin_on_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    """An installer that fails, is cut short, or does nothing is no engine, nor half of one."""
    assert bin_on_path.exists()
    script(monkeypatch, body)

    with pytest.raises(Unavailable, match=r"^Pulumi's installer: |^what it made"):
        engine.installed(checkout, quiet)
    assert nothing_half_made(checkout)


def test_an_installer_out_of_reach_is_said(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network: the way is closed, with the address that was tried."""

    def refuse(*_: object, **options: float) -> None:
        assert options["timeout"] <= 5
        raise OSError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)

    with pytest.raises(Unavailable, match=r"get\.pulumi\.com.*no route"):
        engine.installed(checkout, quiet)


GO = """\
case $1 in
  list) echo "$SDK"; exit;;
esac
[ "$CGO_ENABLED" = 0 ] || exit 9
while [ "$1" != -o ]; do shift; done
mkdir -p "${2%/*}"
printf '#!/bin/sh\\necho v3.250.0\\n' > "$2"
chmod +x "$2"
"""


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The module files of sdk/v3 as the module cache has them: read-only."""
    folder = tmp_path / "sdk"
    for name, below in engine.SCRIPTS.items():
        script = fakes.program(folder / below / name, "")
        script.chmod(0o444)
    monkeypatch.setenv("SDK", str(folder))
    return folder


def test_go_builds_a_whole_engine(checkout: Path, bin_on_path: Path, sdk: Path) -> None:
    """Two programs are built, two scripts copied; all four are executable in .tools/bin."""
    assert sdk.exists()
    fakes.program(bin_on_path / "go", GO)

    found = engine.built(checkout, quiet)

    assert Engine("3.250.0", checkout / ".tools" / "bin") == found
    assert set(engine.PROGRAMS) == {path.name for path in found.folder.iterdir()}
    assert all(os.access(path, os.X_OK) for path in found.folder.iterdir())


def test_a_failed_build_leaves_nothing(checkout: Path, bin_on_path: Path, sdk: Path) -> None:
    """The language host built and the engine not: the half is thrown away, the reason said."""
    assert sdk.exists()
    fail = 'case $* in *cmd/pulumi) echo "out of memory" >&2; exit 1;; esac\n'
    fakes.program(bin_on_path / "go", fail + GO)

    with pytest.raises(Unavailable, match="Go: out of memory"):
        engine.built(checkout, quiet)
    assert nothing_half_made(checkout)


def test_an_interrupted_build_leaves_nothing(
    checkout: Path, bin_on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle: no half engine stays."""
    fakes.program(bin_on_path / "go", GO)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "call", interrupted)

    with pytest.raises(KeyboardInterrupt):
        engine.built(checkout, quiet)
    assert nothing_half_made(checkout)


def test_without_go_that_way_is_closed(checkout: Path, bin_on_path: Path) -> None:
    """No go on PATH is said as such."""
    assert bin_on_path.exists()

    with pytest.raises(Unavailable, match="no go on PATH"):
        engine.built(checkout, quiet)


def test_the_first_open_way_is_taken(checkout: Path) -> None:
    """Ways are tried in their order, and none after the first that is open."""
    found = Engine("3.250.0", checkout)

    def closed(*_: object) -> Engine:
        raise Unavailable("closed")

    def never(*_: object) -> Engine:
        raise AssertionError

    assert found == engine.ensure(checkout, quiet, (closed, lambda *_: found, never))


def test_no_open_way_names_them_all(
    checkout: Path, bin_on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every way closed the message has each with its reason, and what to do."""
    assert bin_on_path.exists()

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)

    with pytest.raises(SetupError) as caught:
        engine.ensure(checkout, quiet)

    assert ["PATH:", ".tools/bin:", "Pulumi's", "Go:"] == [
        line.split()[0] for line in caught.value.what.splitlines()[1:]
    ]
    assert caught.value.advice.startswith("Install Pulumi 3.150.0 or newer, or Go")


def test_the_pin_is_that_of_the_go_module(checkout: Path) -> None:
    """One place pins the version: tools/pulumi/engine/go.mod."""
    assert engine.pinned(checkout) == "3.250.0"
