"""`python -m tools.bench_agent`: a small load for real, and its figures by hand."""

from __future__ import annotations

import json
import sys
from dataclasses import astuple, replace
from pathlib import Path

import pytest

from tests.tools import fakes
from tools.bench_agent import __main__ as command
from tools.bench_agent.agent import AGENT
from tools.bench_agent.clients import OTHERS, Load, tokenizer, whole
from tools.bench_agent.figures import Timing, percentile, token_errors, truth
from tools.bench_agent.server import Served, timing_server
from tools.bench_agent.supervisor import Job, supervise
from tools.bench_agent.table import render
from tools.bench_agent.trial import Plan, Trial, less_start, trial

MS = 1_000_000
SMALL = ["--streams", "4", "--tokens", "8", "--rounds", "2", "--ttft-ms", "20", "--itl-ms", "5"]
ROW = Trial(
    "someone",
    64,
    requests=2,
    tokens=6,
    tokens_per_s=6000.0,
    truth=Timing(50.0, 10.0, 12.0),
    said=Timing(60.5, 9.5, None),
    cpu_s=3.0,
    cpu_us=20.0,
    peak_mib=100.0,
    start_s=0.5,
)
#: Speaks the language of `vllm bench serve`, and gets two of its figures wrong.
VLLM = """\
import http.client, json, sys
argv = dict(zip(sys.argv[3::2], sys.argv[4::2]))
assert sys.argv[1:3] == ["bench", "serve"], sys.argv
connection = http.client.HTTPConnection(argv["--base-url"].removeprefix("http://"))
for _ in range(int(argv["--num-prompts"])):
    tokens = int(argv["--random-output-len"])
    connection.request("POST", argv["--endpoint"],
        json.dumps({"prompt": "x", "stream": True, "max_tokens": tokens}))
    connection.getresponse().read()
said = {"mean_ttft_ms": 21.0, "median_itl_ms": 5.0, "p99_itl_ms": 99.0}
open(argv["--result-filename"], "w").write(json.dumps(said))
"""


@pytest.fixture
def no_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with no other client on it."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.integration
def test_the_agent_is_run_and_told_the_truth(
    no_others: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of its requests, its figures beside the server's, what it cost, in JSON."""
    code = command.main([*SMALL, "--json"])
    out, err = capsys.readouterr()
    (row,) = json.loads(out)["trials"]

    assert (0, None, "bench_agent", 8, 64) == (
        code,
        row["failure"],
        row["client"],
        row["requests"],
        row["tokens"],
    )
    assert row["truth"]["ttft_mean"] >= 20.0
    assert row["said"]["ttft_mean"] == pytest.approx(row["truth"]["ttft_mean"], abs=50.0)
    assert 64 == row["errors"]["tokens"]
    assert row["cpu_us"] > row["cpu_us_marginal"]
    assert row["cpu_s"] > 0.05
    assert row["peak_mib"] > 10
    assert 0 < row["start_s"] < 60
    assert "vllm is not installed here. See docs/how-to/compare-load-clients.md" in err


@pytest.mark.integration
def test_another_client_is_run_beside_it(
    no_others: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where one is named, under the same load, with what it says of it."""
    fake = tmp_path / "elsewhere" / "fake-vllm"
    fake.parent.mkdir()
    fake.write_text(f"#!{sys.executable}\n{VLLM}")
    fake.chmod(0o755)
    code = command.main([*SMALL, f"--client=vllm={fake}", "--json"])
    rows = json.loads(capsys.readouterr().out)["trials"]

    assert (0, ["bench_agent", "vllm"]) == (code, [row["client"] for row in rows])
    assert {"ttft_mean": 21.0, "itl_p50": 5.0, "itl_p99": 99.0} == rows[1]["said"]
    assert ([8, 8], None) == ([row["requests"] for row in rows], rows[1]["errors"])


@pytest.mark.integration
def test_a_client_that_fails_is_told_of(tmp_path: Path) -> None:
    """With its last line; the figures are not there."""
    fakes.program(tmp_path / "vllm", "echo no such option >&2; exit 3\n")
    row = trial(OTHERS[0], str(tmp_path / "vllm"), Plan(1.0, 1.0, 2, 1, 30.0), 1)

    assert ("ended with 3: no such option", None) == (row.failure, row.truth)
    assert "vllm at 1 streams: ended with 3: no such option" in render([row])


@pytest.mark.integration
def test_a_client_that_measured_nothing_is_told_of(tmp_path: Path) -> None:
    """Ending with 0 does not make a result."""
    fakes.program(tmp_path / "vllm", "exit 0\n")
    row = trial(OTHERS[0], str(tmp_path / "vllm"), Plan(1.0, 1.0, 2, 1, 30.0), 1)

    assert "left no figures: FileNotFoundError" in str(row.failure)


@pytest.mark.integration
def test_what_a_client_leaves_behind_is_counted(tmp_path: Path) -> None:
    """A detached process is waited for; its time and memory are the client's."""
    burn = (
        "import os, time\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "data = bytearray(b'x') * (64 << 20)\n"
        "while time.process_time() < 1.5: pass\n"
    )
    cost = supervise(Job([sys.executable, "-c", burn], str(tmp_path), str(tmp_path / "log"), 60.0))

    assert (0, False) == (cost.exit_code, cost.timed_out)
    assert 1.5 <= cost.cpu_s < 10
    assert 64 < cost.peak_mib < 512
    assert cost.wall_s >= 1.5


@pytest.mark.integration
def test_a_client_that_hangs_is_ended(tmp_path: Path) -> None:
    """After its limit, with what it left behind."""
    hang = "import os, time\nos.fork()\nos.setsid() if os.getpid() % 2 else None\ntime.sleep(600)"
    cost = supervise(Job([sys.executable, "-c", hang], str(tmp_path), str(tmp_path / "log"), 0.5))

    assert (-9, True) == (cost.exit_code, cost.timed_out)
    assert cost.wall_s < 30


@pytest.mark.parametrize("named", ["nobody=/bin/sh", "vllm=/no/such/program", "vllm"])
def test_a_client_that_is_not_there_is_refused(
    no_others: None, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is run, in one sentence on what to do."""
    code = command.main([f"--client={named}"])

    assert (2, "") == (code, capsys.readouterr().out)


def test_truth_is_what_the_server_did() -> None:
    """From arrival to the first send, and all gaps between sends."""
    rows = [
        Served("a", 0, (50 * MS, 60 * MS, 70 * MS)),
        Served("b", 100 * MS, (152 * MS, 162 * MS, 192 * MS)),
    ]

    assert pytest.approx((51.0, 10.0, 29.4)) == astuple(truth(rows))
    assert Timing(50.0, None, None) == truth([Served("a", 0, (50 * MS,))])


def test_errors_are_token_by_token() -> None:
    """The client's stamp less the server's; ITL as the share by which quantiles differ."""
    sent = {"a": (0, 10 * MS, 20 * MS), "b": (0, 10 * MS, 20 * MS)}
    seen = {"a": (3 * MS, 14 * MS, 25 * MS), "b": (1 * MS, 12 * MS, 23 * MS)}
    errors = token_errors(sent, seen)

    assert (6, 2.0) == (errors.tokens, errors.ttft_mean)
    assert pytest.approx((0.1, 0.1)) == (errors.itl_p50, errors.itl_p99)
    assert pytest.approx((3.0, 4.95)) == (errors.lag_p50, errors.lag_p99)


@pytest.mark.parametrize("seen", [{}, {"a": (1,)}, {"a": (1, 2), "b": (1, 2)}])
def test_tokens_must_match(seen: dict[str, tuple[int, ...]]) -> None:
    """A token that was lost or made up is no small error."""
    with pytest.raises(ValueError, match="did not see"):
        token_errors({"a": (1, 2)}, seen)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 2.5), (0.99, 3.97), (1.0, 4.0)])
def test_percentiles_are_numpy_s(share: float, value: float) -> None:
    """Between two values, by their distance."""
    assert value == pytest.approx(percentile([1.0, 2.0, 3.0, 4.0], share))


def test_a_client_s_own_trials_are_left_out() -> None:
    """Requests of another length, and whole ones before those that were asked for."""
    rows = [Served(str(n), n, (1,) * n) for n in (1, 2, 3, 2, 2)]

    assert rows[3:] == list(whole(Path(), Load("", 1, 2, 2), rows))


def test_a_start_is_taken_off() -> None:
    """Of the CPU time, where both went well."""
    assert pytest.approx(400_000.0) == less_start(ROW, replace(ROW, cpu_s=0.6)).cpu_us_marginal
    assert less_start(ROW, Trial("someone", 1, failure="it")).cpu_us_marginal is None


def test_the_tables_fit_a_terminal() -> None:
    """80 columns; what is not known is a dash, a machine that was late is marked."""
    late = replace(ROW, truth=Timing(1234.5, 1000.0, 1234.5), said=Timing(9999.5, 0.0, 9999.5))
    errors = token_errors({"a": (0, 10 * MS)}, {"a": (1, 11 * MS)})
    big = replace(late, client="bench_agent", streams=16384, errors=errors, cpu_us=99999.9)
    text = render([ROW, big])
    lines = text.splitlines()

    assert max(len(line) for line in lines) <= 80
    assert (
        "someone          64   50.0   60.5  +10.5  10.0    9.5   -0.5  12.0      -      -" in lines
    )
    assert "bench_agent   16384*" in text
    assert "Stamp by stamp" in text
    assert "Stamp by stamp" not in render([ROW])


def test_the_tokenizer_is_whole(tmp_path: Path) -> None:
    """Every printable ASCII character and the line feed is a token."""
    model = json.loads((tokenizer(tmp_path) / "tokenizer.json").read_text())["model"]

    assert list(range(96)) == sorted(model["vocab"].values())


@pytest.mark.integration
def test_the_server_of_known_timing_keeps_its_schedule() -> None:
    """First token after TTFT, then one each ITL, none early; stamps say when it really sent."""
    import http.client

    with timing_server(20.0, 5.0) as server:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        for path in ("completions", "chat/completions"):
            body = {"prompt": "a b", "messages": [], "max_tokens": 20, "stream": True}
            body["stream_options"] = {"include_usage": True}
            connection.request("POST", f"/v1/{path}", json.dumps(body), {"X-Request-Id": path})
            text = connection.getresponse().read()
            assert text.endswith(b"data: [DONE]\n\n")
            assert b'"completion_tokens":20' in text
        connection.close()
        served = server.served()
        used = server.cpu_s()

    assert ["completions", "chat/completions"] == [row.request_id for row in served]
    for row in served:
        offsets = [stamp - row.arrived_ns for stamp in row.sent_ns]
        assert 20 == len(offsets)
        assert all(at >= (20 + 5 * k) * MS for k, at in enumerate(offsets))
        assert offsets[-1] < 5000 * MS
    assert used > 0


def test_the_agent_s_archive_is_what_is_run(tmp_path: Path) -> None:
    """As it is shipped, with its spec on standard input."""
    start = AGENT.start("", Load("http://127.0.0.1:1", 4, 8, 16), tmp_path)
    spec = json.loads(start.stdin)

    assert (8, 4) == (spec["points"][0]["num_prompts"], spec["points"][0]["max_concurrency"])
    assert start.argv[1].endswith(".pyz")
    assert Path(start.argv[1]).stat().st_size > 1000
