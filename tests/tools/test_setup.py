"""The set-up as a whole: its voice, its order, and how it ends."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.tools import fakes
from tools.setup import __main__ as setup
from tools.setup import backend, engine, environment, steps
from tools.setup.engine import Engine
from tools.setup.steps import SetupError


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in which every step is done at once."""
    folder = fakes.checkout(tmp_path)
    found = Engine("3.250.0", engine.folder(folder))

    def done(*arguments: object) -> Path:
        arguments[-1]("fine")  # type: ignore[operator]  # the voice of the step comes last
        return folder

    def ensured(*arguments: object) -> Engine:
        done(*arguments)
        return found

    monkeypatch.setattr(environment, "uv", done)
    monkeypatch.setattr(environment, "sync", done)
    monkeypatch.setattr(engine, "ensure", ensured)
    monkeypatch.setattr(backend, "make_stacks", done)
    monkeypatch.setattr(setup, "CHECKOUT", folder)
    return folder


def test_each_step_is_said_with_its_seconds(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five steps in their order; at the end `activate` and the passphrase are there."""
    status = setup.main()

    lines = capsys.readouterr().out.splitlines()
    assert ["uv", "packages", "engine", "activate", "stacks"] == [
        line.split()[0] for line in lines[1:]
    ]
    assert all(line.endswith(" s") for line in lines[1:])
    assert (checkout / "activate").exists()
    assert (checkout / ".dyno" / "passphrase").exists()
    assert 0 == status


def test_no_stack_is_made_beside_a_login(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a Pulumi login of the person's own, stacks are theirs to make; how is said."""
    assert checkout.exists()
    monkeypatch.setenv("PULUMI_ACCESS_TOKEN", "theirs")

    setup.main()

    assert "`pulumi stack init NAME`" in capsys.readouterr().out.splitlines()[-1]


def test_a_step_that_cannot_be_done_ends_it(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log's tail, what happened, what to do; exit 1; nothing after it is begun."""

    def fail(*_: object) -> None:
        raise SetupError("It did not work.", "Do this.", log="a\nb")

    monkeypatch.setattr(environment, "sync", fail)

    assert 1 == setup.main()
    assert "a\nb\nIt did not work.\nDo this.\n" == capsys.readouterr().err
    assert not (checkout / "activate").exists()


def test_an_interrupt_is_said(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C: exit 130 and one sentence, no traceback."""
    assert checkout.exists()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "ensure", interrupted)

    assert 130 == setup.main()
    assert "`make setup` goes on" in capsys.readouterr().err


def test_a_long_step_says_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    """Each thing said is printed when the next begins, and the last with the seconds."""
    with steps.step("engine") as say:
        say("asking")
        say("building")
        assert "  engine    asking …\n" == capsys.readouterr().out

    assert capsys.readouterr().out.startswith("  engine    building  ")


def call(tmp_path: Path, script: str, **options: float) -> str:
    """Run a line of shell as a step does."""
    argv = ["sh", "-c", script]
    return steps.call(
        argv, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, **{"timeout_s": 30, **options}
    )


def test_a_command_gives_its_output(tmp_path: Path) -> None:
    """Standard output comes back."""
    assert "out\n" == call(tmp_path, "echo out; echo err >&2")


def test_a_failed_command_gives_its_errors(tmp_path: Path) -> None:
    """Another status than 0 raises, with standard error in it."""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        call(tmp_path, "echo err >&2; exit 3")

    assert (3, "err\n") == (caught.value.returncode, caught.value.stderr)


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    """Past its time it is killed, and that raised."""
    with pytest.raises(subprocess.TimeoutExpired):
        call(tmp_path, "echo $$ > pid; exec sleep 60", timeout_s=0.2)

    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_a_long_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Now and then it says that it is still at work."""
    monkeypatch.setattr(steps, "BEAT_S", 0.01)
    monkeypatch.setattr(steps, "SILENT_S", 0.0)
    said: list[str] = []

    steps.call(
        ["sleep", "0.1"], cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, timeout_s=30, say=said.append
    )

    assert "still at it after 0 s" in said
