"""`make demo` with stand-ins for pulumi and fab: what it says and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tools import fakes
from tools.setup import backend

SOURCE = Path(__file__).resolve().parents[2]

#: Plays `up` and `destroy` on the state file as the file backend has it; $FAKE names the trouble.
PULUMI = """\
state=.dyno/pulumi/.pulumi/stacks/llm-dyno/local.json
put() { printf '{"checkpoint": {"latest": {"resources": [%s]}}}' "$1" > "$state"; }
case "$1" in
  version) echo v3.250.0;;
  up) [ "$FAKE" != up ] || exit 255
    host=.dyno/hosts/dyno-local-123abc
    mkdir -p $host/work; echo '{"host_id": "demo-test", "port": 1}' > $host/host.json
    [ "$FAKE" != half ] || exit 255
    put '{"type": "pulumi:pulumi:Stack", "urn": "urn:stack", "outputs":
      {"hosts": [{"workdir": "'"$PWD/$host"'/work"}]}}';;
  destroy) [ "$FAKE" != destroy ] || exit 255
    [ "$FAKE" = folder ] || [ "$FAKE" = half ] || rm -rf .dyno/hosts; put '';;
esac
"""
FAB = """\
run=results/local/20250101T000000Z-rehearsal-0000
[ "$FAKE" != bench ] || exit 7
mkdir -p $run/home
[ "$FAKE" = report ] || echo report > $run/home/report.html
[ "$FAKE" = cut ] || echo sums > $run/SHA256SUMS
done=96; [ "$FAKE" != lost ] || done=95
echo '{"points": [{"requested": 96, "completed": '$done'}]}' > $run/summary.json
[ "$FAKE" != slow ] || { trap 'sleep 0.5; echo wound down; exit 130' INT
  touch running; while :; do sleep 0.05; done; }
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The demonstration's own source beside stand-in programs."""
    folder = fakes.checkout(tmp_path / "checkout")
    shutil.copytree(SOURCE / "tools" / "setup", folder / "tools" / "setup")
    shutil.copytree(SOURCE / "tools" / "demo", folder / "tools" / "demo")
    for name in ("__init__", "local_process"):
        shutil.copy(SOURCE / "stacks" / f"{name}.py", folder / "stacks")
    fakes.program(folder / ".venv" / "bin" / "pulumi", PULUMI)
    fakes.program(folder / ".venv" / "bin" / "fab", FAB)
    backend.prepare(folder)
    state(folder, [])
    return folder


def state(checkout: Path, resources: list[dict[str, str]]) -> None:
    """Make the stack `local` hold these resources."""
    path = checkout / ".dyno/pulumi/.pulumi/stacks/llm-dyno/local.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"checkpoint": {"latest": {"resources": resources}}}))


def start(checkout: Path, trouble: str) -> subprocess.Popen[str]:
    """Begin the demonstration; *trouble* is what the stand-ins do wrong."""
    path = os.pathsep.join([str(checkout / ".venv" / "bin"), os.environ["PATH"]])
    env = dict(os.environ) | {"PATH": path, "FAKE": trouble, "PULUMI_ACCESS_TOKEN": "theirs"}
    for name in ("LLM_DYNO_RESULTS", "LLM_DYNO_HOME"):
        env.pop(name, None)
    return subprocess.Popen(
        [sys.executable, "-m", "tools.demo"],
        cwd=checkout,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status, and all that it said; one that does not end is ended, with all below it."""
    try:
        said, _ = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, said


def demo(checkout: Path, trouble: str = "") -> tuple[int, str]:
    """Run it to its end."""
    return ended(start(checkout, trouble))


def test_all_well(checkout: Path) -> None:
    """Three commands as typed; then where the results are, the requests, and what was proven."""
    status, said = demo(checkout)

    commands = [line for line in said.splitlines() if line.startswith("$ ")]
    assert [
        "$ pulumi up --yes --stack local",
        "$ fab bench --stack local --recipe rehearsal",
        "$ pulumi destroy --yes --stack local",
    ] == commands
    assert "result   results/local/20250101T000000Z-rehearsal-0000\n" in said
    assert "report   results/local/20250101T000000Z-rehearsal-0000/home/report.html\n" in said
    assert "requests 96 completed of 96 requested\n" in said
    assert "left     nothing: " in said
    assert 0 == status


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        ("up", "The job was not done; what is up is taken down."),
        ("up", "left     nothing: no host was made"),
        ("bench", "result   none: no run came home"),
        ("lost", "requests 95 completed of 96 requested"),
        ("report", "home/report.html (missing: fab report --stack local writes it)"),
        ("cut", "SHA256SUMS is missing"),
        ("folder", "left     folder "),
        ("half", "left     folder "),
        ("destroy", "the stack local may still be up"),
    ],
)
def test_any_trouble_is_said_and_no_success(checkout: Path, trouble: str, sentence: str) -> None:
    """Whatever goes wrong, destroy is tried, the trouble named, and the end is not 0."""
    status, said = demo(checkout, trouble)

    assert "$ pulumi destroy --yes --stack local" in said
    assert sentence in said
    assert 1 == status


def test_a_stack_that_is_up_is_left_alone(checkout: Path) -> None:
    """It refuses, says what to do, and types nothing."""
    state(checkout, [{"type": "pulumi:pulumi:Stack", "urn": "urn:stack"}])

    status, said = demo(checkout)

    assert 2 == status
    assert "is up already" in said
    assert f"PULUMI_BACKEND_URL=file://{checkout}/.dyno/pulumi " in said, "there is a login"
    assert said.endswith(" pulumi destroy --yes --stack local\n")
    assert "$ " not in said


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_still_takes_the_stack_down(checkout: Path, number: signal.Signals) -> None:
    """Ctrl-C (to the whole terminal) or TERM (to it alone) while fab runs: destroy follows."""
    process = start(checkout, "slow")
    deadline = time.monotonic() + 30
    while not (checkout / "running").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)

    status, said = ended(process)

    assert "interrupted: waiting for the command to end" in said
    assert "wound down" in said
    assert "$ pulumi destroy --yes --stack local" in said
    assert "left     nothing: " in said
    assert 130 == status
