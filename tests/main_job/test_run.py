"""The main job on a local stack, undisturbed and disturbed."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.main_job.conftest import QUICK, Stack, poll, sets
from tests.main_job.runs import ended, on_host, records

pytestmark = pytest.mark.integration
REQUESTS = 20 + 64
#: Mean error of TTFT against the simulator's truth, disturbed or not (this is a shared machine).
BOUND_MS = 5.0


def _runs(stack: Stack) -> list[Path]:
    return sorted(stack.results.glob("*Z-*"))


def _truth(stack: Stack, run_id: str) -> dict[str, list[int]]:
    """When the simulator really sent each token, by request id (ns since the epoch)."""
    engine = stack.host()["folder"] / "work" / "engines" / run_id
    port = (engine / "pid").read_text().split()[3]
    request = urllib.request.Request(f"http://127.0.0.1:{port}/truth")
    request.add_header("Authorization", f"Bearer {(engine / 'api-key').read_text().strip()}")
    with urllib.request.urlopen(request, timeout=10) as reply:
        rows = [json.loads(line) for line in reply]
    return {row["request_id"]: row["sent_ns"] for row in rows}


def _mean_ttft_error_ms(seen: list[dict[str, Any]], truth: dict[str, list[int]]) -> float:
    errors = [(record["first_chunk_ns"] - truth[record["request_id"]][0]) / 1e6 for record in seen]
    assert REQUESTS == len(errors)
    return sum(errors) / len(errors)


def test_a_bench_ends_with_a_whole_result_a_report_and_a_free_host(shared: Stack) -> None:
    """Requests completed = requested, every file verified, the host is nobody's any more."""
    done = shared.fab("bench", *sets(*QUICK))

    (run,) = _runs(shared)
    assert 0 == done.code, done.said
    summary = json.loads((run / "summary.json").read_text())
    counts = [(point["requested"], point["completed"]) for point in summary["points"]]
    assert [(20, 20), (64, 64)] == counts
    assert (run / "SHA256SUMS").exists()
    assert (run / "home" / "report.html").exists()
    assert f"Results: {run}" in done.out
    assert None is shared.status()["lock"]


def test_json_is_one_document_on_standard_output(shared: Stack) -> None:
    """Scripts read the result; progress goes elsewhere."""
    done = shared.fab("bench", "--json", *sets(*QUICK))

    about = json.loads(done.out)
    assert ("done", True) == (about["summary"]["state"], Path(about["report"]).exists())


@pytest.mark.parametrize("taken_up_by", ["attach", "destroy"])
def test_a_run_outlives_its_controller(stack: Stack, taken_up_by: str) -> None:
    """After kill -9 in the middle of a run all requests come home, as exact as ever."""
    controller = stack.start("bench", *sets(*QUICK))
    there = poll(lambda: on_host(stack))
    controller.kill()
    controller.wait()
    poll(lambda: ended(there))
    truth = _truth(stack, there.name)

    done = stack.fab("attach") if taken_up_by == "attach" else stack.destroy()

    assert 0 == done.code, done.said
    run = stack.results / there.name
    seen = records(run)
    assert (run / "SHA256SUMS").exists()
    assert [*range(20), *range(64)] == [record["index"] for record in seen]
    assert all(record["success"] for record in seen)
    assert _mean_ttft_error_ms(seen, truth) <= BOUND_MS


def test_attach_watches_a_run_that_still_goes_on(stack: Stack) -> None:
    """Taken up in the middle, the run is followed to its end and collected."""
    controller = stack.start("bench", *sets(*QUICK, "load.points.0.num_prompts=60"))
    there = poll(lambda: on_host(stack))
    controller.kill()
    controller.wait()
    assert not ended(there)

    done = stack.fab("attach")

    assert (0, 60 + 64) == (done.code, len(records(stack.results / there.name))), done.said


def test_a_run_can_be_stopped_in_order(stack: Stack) -> None:
    """What was measured by then comes home as an incomplete run, and the host is free."""
    controller = stack.start("bench", *sets(*QUICK, "load.points.0.num_prompts=400"))
    there = poll(lambda: on_host(stack))

    done = stack.fab("stop")
    controller.wait(60)

    run = stack.results / there.name
    assert 0 == done.code, done.said
    assert "incomplete" == json.loads((run / "summary.json").read_text())["state"]
    assert 0 < len(records(run)) < 400
    assert 0 != controller.returncode
    assert None is stack.status()["lock"]


def test_damage_at_home_is_mended_by_collect(shared: Stack) -> None:
    """One flipped bit in a file at home: noticed, said, pulled again."""
    assert 0 == shared.fab("bench", *sets(*QUICK)).code
    run = _runs(shared)[-1]
    file = run / "points" / "00-c4" / "records.jsonl"
    data = bytearray(file.read_bytes())
    data[100] ^= 4
    file.write_bytes(data)

    done = shared.fab("collect", "--run", run.name)

    assert 0 == done.code, done.said
    assert "points/00-c4/records.jsonl" in done.said
    assert bytes(data) != file.read_bytes()


def test_a_server_at_a_url_is_benched_from_here(shared: Stack) -> None:
    """`fab bench --url` needs no stack: model and server are found, the result is as whole."""
    launch = _simulator(shared)
    try:
        port = int(launch.port)
        done = shared.bare("fab", "bench", "--url", f"http://127.0.0.1:{port}", *sets(*QUICK))
    finally:
        launch.end()

    (run,) = (shared.folder / "results" / "url").glob("*")
    assert 0 == done.code, done.said
    assert REQUESTS == len(records(run))


class _simulator:  # noqa: N801 - used like a function
    def __init__(self, stack: Stack) -> None:
        import socket
        import subprocess
        import sys

        from provisioning import agent

        archive = stack.folder / agent.build().name
        archive.write_bytes(agent.build().data)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                archive,
                "simulate",
                "--port",
                str(self.port),
                "--model",
                "m",
            ],
            stderr=subprocess.DEVNULL,
        )
        poll(self._answers)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1):
                return True
        except OSError:
            return False

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(10)
