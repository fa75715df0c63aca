"""A conversion as a step of a deploy."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from provisioning import conversions
from provisioning.command import Command
from provisioning.deploys import convert
from provisioning.errors import HostError
from provisioning.facts.download import Going
from provisioning.facts.model_folder import Folder
from provisioning.facts.python import Python
from provisioning.facts.python_env import Environment
from provisioning.facts.system import Machine
from provisioning.host_schema import HostNeeds
from provisioning.needs import Needs
from provisioning.recipe_schema import Model
from tests.provisioning.fakes import FakeHost

ASKED = Model.model_validate({"name": "m-fp8", "convert": {"from": "/in", "scheme": "fp8-dynamic"}})
NEEDS = Needs(HostNeeds(), ASKED, None, "/w", "/data")
FOUND = conversions.of(NEEDS)
assert FOUND is not None
WANTED = FOUND
RESULT = {"state": "done", "bytes": 3_000_000_000, "files": 2, "seconds": 61.2, "tool": "t 1"}


class Hosting(FakeHost):
    """A host where a job is over after two looks."""

    def __init__(self, *going: Going, made: bool = False, env: bool = True) -> None:
        facts: dict[str, Any] = {
            "ModelFolder": Folder(10, 2, "aa"),
            "Conversions": {},
            "PythonEnv": Environment("3.11", ()) if env else None,
            "Uv": False,
            "Pythons": (Python("/usr/bin/python3", (3, 11, 2)),),
            "System": Machine("h", "6.1", "x86_64", "Debian", "cpu", 4, 16384, "b"),
            "AtPath": None,
            "Download": going[0] if going else Going("none"),
        }
        super().__init__(**facts)
        if made:
            receipt = {"from": "/in", "files": {"a": 1, "b": 2}}
            self._by_name["Conversions"] = {WANTED.name(self.source()): receipt}

    def source(self) -> conversions.Source:
        found = WANTED.source(self)
        assert found is not None
        return found

    def forget(self, *questions: Any) -> None:
        """All is as it was told."""


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[Going]:
    """How a job ends that is watched."""
    end = [Going("over", result=dict(RESULT))]
    monkeypatch.setattr(convert, "watch", lambda *_: end[0])
    return end


def run(host: FakeHost) -> list[str]:
    said: list[str] = []
    step = convert.steps(NEEDS)[1]
    assert step.run is not None
    step.run(host, said.append)
    return said


def test_a_recipe_without_has_no_steps() -> None:
    """Nor anything for the manifest."""
    plain = Needs(HostNeeds(), Model(name="m"), None, "/w", "/d")
    assert ((), {}) == (convert.steps(plain), convert.about(Hosting(), plain))


def test_the_converter_comes_while_the_model_does() -> None:
    """The conversion is after both."""
    converter, conversion = convert.steps(NEEDS)
    assert ("converter", "convert") == (converter.name, conversion.name)
    assert "model" not in converter.after
    assert {"model", "converter"} <= set(conversion.after)


def test_what_is_made_needs_nothing() -> None:
    """Neither a converter nor a word to the host; the manifest knows it."""
    host = Hosting(made=True, env=False)
    for step in convert.steps(NEEDS):
        assert [] == [command for each in step.operations for command in each(host)]
    assert ([], []) == (run(host), host.ran)
    about = convert.about(host, NEEDS)
    assert ("/in", 3, 2) == (about["from"], about["bytes"], about["files"])
    assert WANTED.target(host.source()) == about["path"]


def test_the_converter_is_an_environment_of_its_own() -> None:
    """With everything pinned that decides."""
    steps = convert.steps(NEEDS)[0].operations
    fetch, make = [command for each in steps for command in each(Hosting(env=False))]
    assert str(fetch).startswith("fetch uv")
    assert "package llmcompressor==" in (make.stdin or b"").decode()  # type: ignore[union-attr] # plain
    assert WANTED.environment == make.argv[4]


def test_it_is_begun_and_awaited(ends: list[Going]) -> None:
    """Program and task first."""
    host = Hosting()
    assert ["3.00 GB in 2 files after 61 s, by t 1"] == run(host)
    *_, start = host.ran
    assert ("start", WANTED.job(host.source())) == start.argv[-2:]
    assert "start the conversion of /in to fp8-dynamic" == str(start)
    assert 1 == sum(isinstance(c, Command) and "task.json" in c.line() for c in host.ran)


def test_one_that_is_at_work_is_joined(ends: list[Going]) -> None:
    """Nothing is written to it."""
    host = Hosting(Going("running"))
    assert "/in is being converted already" == run(host)[0]
    assert [] == host.ran


@pytest.mark.parametrize(
    ("going", "what"),
    [
        (Going("over", log="x"), "was killed before its end"),
        (
            Going("over", result={"state": "failed", "kind": "space", "missing": 2e9, "free": 1e9}),
            "needs 2.00 GB of disk, and there is room for 1.00 GB",
        ),
        (
            Going("over", result={"state": "failed", "kind": "other", "detail": "No model."}),
            "failed: No model.",
        ),
    ],
)
def test_why_there_is_no_model_is_said(ends: list[Going], going: Going, what: str) -> None:
    """With what to do."""
    ends[0] = going
    with pytest.raises(HostError, match=what) as caught:
        run(Hosting())
    assert caught.value.advice


def test_progress_is_its_newest_line() -> None:
    """Bars are written over again and again."""
    log = "a\nCompressing:  50% 7/14\rCompressing:  57% 8/14\n"
    assert "Compressing: 57% 8/14" == convert._said(Going("running", log=log))
    assert "" == convert._said(Going("running"))


def test_the_program_is_whole() -> None:
    """It imports nothing of ours that is not in it."""
    names = zipfile.ZipFile(io.BytesIO(conversions.program())).namelist()
    assert {
        "__main__.py",
        "provisioning/model_convert/compress.py",
        "provisioning/model_fetch/job.py",
        "provisioning/model_fetch/failure.py",
    } < set(names)
