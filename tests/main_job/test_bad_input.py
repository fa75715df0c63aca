"""Bad input: one clear sentence, a code that is not zero, and nothing started."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.main_job.conftest import Done, Stack, sets
from tests.provisioning.sshd import Server, serve

OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFm4SIo9wczs/H5Ug50JJxd3HwFehSN4AKZ44w21v8U+"
pytestmark = pytest.mark.integration


def _plain(done: Done) -> str:
    assert "Traceback" not in done.said
    return " ".join(done.said.split())


def _runs_on_host(stack: Stack) -> list[Path]:
    return list(stack.host()["folder"].glob("work/runs/*"))


@pytest.mark.parametrize(
    ("argv", "code", "sentence"),
    [
        (["--recipe", "rehersal"], 2, "no recipe 'rehersal'. Did you mean 'rehearsal'?"),
        (sets("load.pionts=1"), 2, "load.pionts"),
        (sets("load.points.0.num_prompts=0"), 2, "load.points[0].num_prompts: must be"),
        (sets("load.points.0.num_prompts=many"), 2, "load.points[0].num_prompts: must be"),
        (sets("load.points.0.max_concurrency=[]"), 2, "max_concurrency: must not be an empty"),
        (sets("load.workload.name=rndom"), 2, "there is no workload 'rndom'"),
        (sets("engine.name=vllmm"), 2, "no engine 'vllmm'"),
        (sets("launcher=dockr"), 2, "no launcher 'dockr'"),
        (sets("planned_s=999999"), 3, "left for runs"),
        (["--url", "http://127.0.0.1:9"], 2, "Say either --url or --stack"),
    ],
)
def test_a_bad_argument_is_told_and_starts_nothing(
    shared: Stack, argv: list[str], code: int, sentence: str
) -> None:
    """The mistake is named, nothing runs on the host."""
    done = shared.fab("bench", *argv)

    assert (code, []) == (done.code, _runs_on_host(shared)), done.said
    assert sentence in _plain(done)


def test_no_stack_lists_the_known_ones(shared: Stack) -> None:
    """`fab bench` alone says which stacks there are."""
    done = shared.bare("fab", "bench")

    assert 2 == done.code
    assert "Say --stack with one of:" in _plain(done)
    assert shared.name in done.said


def test_an_unknown_stack_is_told(shared: Stack) -> None:
    """No such stack."""
    done = shared.bare("fab", "bench", "--stack", "nix")

    assert 3 == done.code
    assert "There is no stack nix" in _plain(done)


def test_a_stack_that_is_not_up_is_told(down: Stack) -> None:
    """The command that brings it up is named."""
    done = down.fab("bench")

    assert 3 == done.code
    assert f"is not up. Run `pulumi up --stack {down.name}`" in _plain(done).replace("\n", " ")


def test_a_port_of_the_engine_in_use_is_told(shared: Stack) -> None:
    """The SSH server's own port is taken for sure."""
    port = shared.host()["port"]

    done = shared.fab("bench", *sets(f"engine.port={port}"))

    assert (5, []) == (done.code, _runs_on_host(shared))
    assert re.search(rf"[Pp]ort {port}.*in use", _plain(done))


def test_a_result_folder_that_cannot_be_written_is_told(shared: Stack) -> None:
    """Nothing is asked of the host when results have no place."""
    (shared.folder / "file").touch()
    shared.env["LLM_DYNO_RESULTS"] = str(shared.folder / "file" / "results")
    try:
        done = shared.fab("bench")
    finally:
        shared.env["LLM_DYNO_RESULTS"] = str(shared.folder / "results")

    assert (2, []) == (done.code, _runs_on_host(shared))
    assert "cannot be written" in _plain(done)


def test_a_load_of_nothing_but_failures_is_no_success(stack: Stack) -> None:
    """Every request is refused for its length: told by exit code, and the result is home."""
    done = stack.fab("bench", *sets("model.max_model_len=20", "load.num_warmups=0"))

    (run,) = stack.results.glob("*Z-*")
    assert (7, True) == (done.code, (run / "SHA256SUMS").exists()), done.said
    assert f"Results: {run}" in done.out
    assert "Error (load):" in _plain(done)


def test_a_file_of_the_workload_that_is_missing_is_told(shared: Stack) -> None:
    """Where it was looked for is said; nothing is started."""
    done = shared.fab("bench", *sets("load.workload.options.path=nope.txt"))

    assert (2, []) == (done.code, _runs_on_host(shared)), done.said
    assert "load.workload.options.path: there is no file nope.txt (looked in " in _plain(done)


def test_a_second_bench_is_told_who_and_since_when(stack: Stack) -> None:
    """Two loads on one host measure nothing."""
    from tests.main_job.conftest import QUICK, poll
    from tests.main_job.runs import on_host

    first = stack.start("bench", *sets(*QUICK, "load.points.0.num_prompts=250"))
    run = poll(lambda: on_host(stack))

    done = stack.fab("bench")
    ended = first.wait(60)

    assert 0 == ended
    assert 5 == done.code
    assert re.search(rf"is in use by \S+@\S+ since \S+ \(run {run.name}\)", _plain(done))


def test_a_changed_host_key_is_refused_with_both_fingerprints(stack: Stack) -> None:
    """Somebody in between: nothing is sent."""
    state = json.loads(stack.pulumi("stack", "export").out)
    (top,) = (r for r in state["deployment"]["resources"] if r["type"] == "pulumi:pulumi:Stack")
    pinned = top["outputs"]["hosts"][0]["host_keys"]
    true_keys = list(pinned)
    pinned[:] = [OTHER_KEY]
    _import(stack, state)

    done = stack.fab("bench")
    pinned[:] = true_keys
    _import(stack, state)

    assert (4, 2, []) == (done.code, done.said.count("SHA256:"), _runs_on_host(stack)), done.said


def _import(stack: Stack, state: dict[str, Any]) -> None:
    file = stack.folder / "state.json"
    file.write_text(json.dumps(state))
    done = stack.pulumi("stack", "import", "--file", str(file))
    assert 0 == done.code, done.said


def _config(stack: Stack, key: str, value: str) -> Done:
    stack.pulumi("config", "set", key, value)
    done = stack.pulumi("up", "--yes")
    stack.pulumi("config", "rm", key)
    return done


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("prot", "2222", "prot"),
        ("port", "many", "port"),
        ("ttl", "3 parsecs", "ttl"),
        ("preset", "locla", "locla"),
    ],
)
def test_a_bad_configuration_key_makes_nothing(
    down: Stack, key: str, value: str, sentence: str
) -> None:
    """Unknown keys, wrong types and values out of range stop `pulumi up` before it begins."""
    done = _config(down, key, value)

    assert 0 != done.code
    assert sentence in _plain(done)
    assert [] == list((down.folder / "home").rglob("host.json"))


#: Runs what it is asked with a version of old: the fact's own command sees a Python 3.8.
_OLD = """\
#!/bin/sh
exec {python} -I -S -c 'import sys
sys.version_info, sys.executable = (3, 8, 18), "/usr/bin/python3"
exec(sys.argv[1])' "$4"
"""


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A host on whose PATH all is as usual, but the only Python is too old."""
    tools = tmp_path / "tools"
    tools.mkdir()
    usual = {p.name: p for folder in ("/usr/bin", "/bin") for p in Path(folder).iterdir()}
    for name, program in usual.items():
        if not name.startswith("python"):
            (tools / name).symlink_to(program)
    (tools / "python3").write_text(_OLD.format(python=sys.executable))
    (tools / "python3").chmod(0o755)
    with ExitStack() as stack:
        with monkeypatch.context() as patch:
            patch.setenv("PATH", str(tools))
            server = stack.enter_context(serve(tmp_path / "host"))
        yield server


def test_python_on_the_host_that_is_too_old_is_told(old: Server, down: Stack) -> None:
    """Both versions are named, and nothing of ours is on the host."""
    _describe(down, old)
    down.up()

    done = down.fab("bench")

    assert 5 == done.code, done.said
    told = r"/usr/bin/python3 .*is 3\.8\.18, needed is 3\.10 or newer"
    assert re.search(told, _plain(done)), done.said
    assert [] == list(old.workdir.iterdir())


def _describe(stack: Stack, server: Server) -> None:
    """The stack is a host that somebody has: this one."""
    host = server.output()
    key = stack.folder / "key"
    key.touch(0o600)
    key.write_text(server.private_key)
    values = {
        "cloud": "existing",
        "address": host.address,
        "port": str(host.port),
        "user": host.user,
        "workdir": host.workdir,
        "ssh_private_key_file": str(key),
    }
    for name, value in values.items():
        stack.pulumi("config", "set", name, value)
    stack.pulumi("config", "set", "--path", "host_keys[0]", host.host_keys[0])
