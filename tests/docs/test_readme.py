"""The commands of the README, typed one after the other into a fresh copy of the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import CHECKOUT, kept_files, name
from tests.docs.pages import README, shell_blocks

pytestmark = pytest.mark.integration


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A person's home with a copy of the checkout; the engine is linked, all else is made anew."""
    copy = tmp_path / "llm-dyno"
    for path in kept_files():
        target = copy / name(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    (copy / ".tools").symlink_to(CHECKOUT / ".tools")
    yield tmp_path
    if (copy / "activate").exists():
        bash(tmp_path, "cd llm-dyno && source ./activate && pulumi destroy --yes --stack local")


def bash(home: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Type *script* into a shell of somebody who has no more than this home."""
    own = [str(CHECKOUT / ".venv"), str(CHECKOUT / ".tools")]
    path = [p for p in os.environ["PATH"].split(os.pathsep) if not p.startswith(tuple(own))]
    kept = ("LANG", "TMPDIR", "UV_CACHE_DIR", "GOFLAGS")
    env = {key: os.environ[key] for key in kept if key in os.environ}
    env |= {"HOME": str(home), "PATH": os.pathsep.join(path)}
    env.setdefault("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))
    return subprocess.run(
        ["bash", "-ec", script],
        cwd=home,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_commands_of_the_readme_work(home: Path) -> None:
    """From clone to destroy: every command ends with 0, every request is completed."""
    script = "".join(shell_blocks(README))
    assert script.count("git clone") == 1
    typed = re.sub(r"git clone <.*> llm-dyno && ", "", script)

    done = bash(home, typed)

    assert 0 == done.returncode, done.stdout + done.stderr
    (summary,) = home.glob("llm-dyno/results/local/*/summary.json")
    points = json.loads(summary.read_text())["points"]
    assert points
    assert [p["requested"] for p in points] == [p["completed"] for p in points]
    assert (summary.parent / "home" / "report.html").exists()
    assert not (home / ".pulumi").exists()


def test_the_demonstration_works(home: Path) -> None:
    """`make demo` with the real engine: everything completed, and nothing left."""
    done = bash(home, "cd llm-dyno && make demo")

    assert 0 == done.returncode, done.stdout + done.stderr
    completed, requested = re.findall(r"requests (\d+) completed of (\d+)", done.stdout)[0]
    assert 0 < int(requested) == int(completed)
    ended, ports = re.findall(r"nothing: (\d+) processes ended, ports (.*) closed", done.stdout)[0]
    assert int(ended) >= 2, "the SSH server and the engine were seen"
    assert len(ports.split(", ")) >= 2
    assert not (home / ".pulumi").exists()
