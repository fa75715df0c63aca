"""The documentation says what the code does, and all of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

from provisioning import errors, recipe
from provisioning.recipe_schema import Recipe
from stacks import settings
from stacks.config import StackConfig
from tests.architecture.sources import CHECKOUT, name
from tests.docs.pages import PAGES, README, commands
from tools.reference import fields, tasks

REFERENCE = CHECKOUT / "docs" / "reference"
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
#: What stands for something in an example: NAME, S, RUN, <task> …
STAND_IN = re.compile(r"[A-Z_]+|<.*>|…")


def text(page: str) -> str:
    """A reference page."""
    return (REFERENCE / f"{page}.md").read_text()


def test_generated_parts_are_up_to_date() -> None:
    """`cog --check` finds nothing to change; `make docs` says the same."""
    pages = [str(page) for page in sorted(REFERENCE.glob("*.md"))]
    done = subprocess.run(
        [Path(sys.executable).parent / "cog", "--check", "-I", ".", "-r", *pages],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert len(pages) == done.stdout.count("Cogging ")
    assert 0 == done.returncode, done.stdout


def test_every_task_is_documented() -> None:
    """Each task of fab has its section, and each of its arguments a row with a text."""
    page = text("commands")

    assert "bench" in tasks.tasks()
    assert [] == [task for task in tasks.tasks() if f"### fab {task}\n" not in page]
    assert not re.search(r"^\| `--[^|]*\|\s*\|$", page, re.MULTILINE)


def test_every_recipe_and_its_keys_are_documented() -> None:
    """Each recipe is listed, and each key has a description."""
    page = text("recipes")

    assert "rehearsal" in recipe.names()
    assert [] == [each for each in recipe.names() if f"- `{each}`: " not in page]
    assert [] == [path for path, _, _, about in fields.rows_of(Recipe) if not about]


def test_every_recipe_is_valid() -> None:
    """Each recipe loads, and has a description for people."""
    assert all(recipe.load(each).description for each in recipe.names())


def test_every_preset_is_documented() -> None:
    """Each preset and each cloud is listed, and each key that every cloud has is described."""
    page = text("configuration")

    assert "local" in settings.preset_names()
    assert [] == [each for each in settings.preset_names() if f"- `{each}` " not in page]
    assert [] == [each for each in settings.cloud_names() if f"## Cloud `{each}`" not in page]
    assert [] == [path for path, _, _, about in fields.rows_of(StackConfig) if not about]


def test_the_preset_of_the_how_to_is_valid(tmp_path: Path) -> None:
    """The file that `use-an-existing-host.md` has people write is one that a stack reads."""
    page = (CHECKOUT / "docs" / "how-to" / "use-an-existing-host.md").read_text()
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "lab.yaml").write_text(shown)

    config = settings.load(settings.Settings("lab", {}), presets=tmp_path)

    assert ("existing", "bench") == (config.cloud, config.model_dump()["user"])


@pytest.mark.parametrize("preset", settings.preset_names())
def test_every_preset_is_valid(preset: str) -> None:
    """Each preset is a whole configuration, but for what only a person can say."""
    node = {"inference_url": "http://192.0.2.7:5000", "management_url": "http://192.0.2.7:8080"}
    told = {"mlnode": {"endpoints": [node]}}.get(preset, {})

    assert settings.load(settings.Settings(preset, told)).cloud in settings.cloud_names()


def test_every_exit_code_is_documented() -> None:
    """Each exit code of the error tree has its row, under its own phase."""
    kinds = [errors.DynoError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    rows = re.findall(r"^\| (\d+) \| ([^|]*)\|", text("exit-codes"), re.MULTILINE)
    phases = {int(code): phase for code, phase in rows}

    assert {0, 130} | {kind.exit_code for kind in kinds} == set(phases)
    assert [] == [
        kind.__name__
        for kind in kinds
        if kind.exit_code > 1 and kind.phase not in phases[kind.exit_code]
    ]


def test_every_dependency_has_its_reason() -> None:
    """Each package that pyproject.toml asks for is in the decision about dependencies."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    asked = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    packages = {re.split(r"[^\w-]", each)[0] for each in asked}
    decision = (CHECKOUT / "docs" / "decisions" / "0006-dependencies.md").read_text()
    listed = re.findall(r"^\| ([\w-]+(?:, [\w-]+)*) \|", decision, re.MULTILINE)

    assert packages == {each for row in listed for each in row.split(", ")} - {"package", "---"}


def test_links_lead_somewhere() -> None:
    """Every relative link of the documentation names a file that is there."""
    links = [(page, link) for page in PAGES for link in LINK.findall(page.read_text())]

    assert len(links) > 10
    assert [] == [f"{name(p)}: {link}" for p, link in links if not (p.parent / link).exists()]


def mistyped(words: list[str]) -> bool:
    """Whether a command of fab names a task or an argument that there is none of."""
    task, *arguments = words[1:]
    if STAND_IN.fullmatch(task) or task == "--list":
        return False
    known = tasks.tasks().get(task)
    flags = known.get_arguments() if known else []
    names = {f"--{each.name.strip('_').replace('_', '-')}" for each in flags}
    used = {word.partition("=")[0] for word in arguments if word.startswith("--")}
    return known is None or not used <= names


def test_shown_commands_of_fab_exist() -> None:
    """Each `fab` command in the documentation names a task and arguments that there are."""
    shown = [(page, words) for page in PAGES for words in commands(page) if words[0] == "fab"]

    assert len(shown) > 10
    assert [] == [f"{name(page)}: {' '.join(words)}" for page, words in shown if mistyped(words)]


@pytest.mark.parametrize("command", ["fab bnch", "fab bench --stak local", "fab status --recipe x"])
def test_a_mistyped_command_is_seen(command: str) -> None:
    """The test above can fail."""
    assert mistyped(command.split())


def test_shown_targets_of_make_exist() -> None:
    """Each `make` command in the documentation names a target that there is."""
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    shown = {words[1] for page in PAGES for words in commands(page) if words[0] == "make"}

    assert {"setup", "demo", "test"} <= shown <= targets


def test_the_readme_is_short() -> None:
    """A newcomer finishes it: at most 120 lines."""
    assert len(README.read_text().splitlines()) <= 120
