"""Small modules, small functions, names that say something."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.sources import CHECKOUT, PACKAGES, kept_files, modules, name, tree

MODULES = modules(*PACKAGES)
ALL = MODULES + modules("tests")
VAGUE = re.compile(r"(^|_)(utils?|helpers?|common|misc|manager)(_|$)")


def functions(module: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, however deep."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(module) if isinstance(node, kinds)]


def lines(node: ast.stmt) -> int:
    """The lines of a statement, its decorators not counted."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def words(camel: str) -> str:
    """``RunManager`` as ``run_manager``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", camel).lower()


def test_there_are_modules_to_look_at() -> None:
    """Each package has modules; the tests below are about real files."""
    assert set(PACKAGES) == {name(path).partition("/")[0] for path in MODULES}


def test_no_module_is_long() -> None:
    """No module has over 400 lines."""
    sizes = {name(path): len(path.read_text().splitlines()) for path in ALL}

    assert {} == {path: size for path, size in sizes.items() if size > 400}


def test_no_function_is_long() -> None:
    """No function has over 80 lines."""
    long = [
        f"{name(path)}: {each.name}"
        for path in ALL
        for each in functions(tree(path))
        if lines(each) > 80
    ]

    assert [] == long


def test_a_long_function_is_seen() -> None:
    """The test above can fail: 81 lines are counted as 81, in a method too."""
    source = "class C:\n    async def f(self):\n" + "        pass\n" * 80

    assert [81] == [lines(each) for each in functions(ast.parse(source))]


def names_in(path: Path) -> list[str]:
    """The folders, the module and the classes that *path* names."""
    classes = [node.name for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
    return [*path.relative_to(CHECKOUT).with_suffix("").parts, *map(words, classes)]


def test_no_name_is_vague() -> None:
    """Neither folder, module nor class is called utils, helpers, common, misc or manager."""
    vague = [
        f"{name(path)}: {word}" for path in ALL for word in names_in(path) if VAGUE.search(word)
    ]

    assert [] == vague


@pytest.mark.parametrize("vague", ["utils", "ssh_helpers", "RunManager", "common"])
def test_a_vague_name_is_seen(vague: str) -> None:
    """The test above can fail."""
    assert VAGUE.search(words(vague))


#: Where packages come from, and folders of one machine: neither belongs into the project.
FOREIGN = re.compile(
    r"pypi\.org|pythonhosted|proxy\.golang|npmjs\.(org|com)|crates\.io|deb\.debian"
    r"|(?<![\w.])(/work/(main|shared|\.)|/root/(?!\.cache/(huggingface|vllm)\b))"
)
LOCKS = ("uv.lock", "go.sum")  # and the caches in vLLM's own image are no machine's


def test_no_registry_and_no_machine_path() -> None:
    """Only lock files name package registries; nothing names a folder of somebody's machine."""
    files = [path for path in kept_files() if path.name not in LOCKS and path != Path(__file__)]
    found = [
        f"{name(path)}:{number}: {line.strip()[:80]}"
        for path in files
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if FOREIGN.search(line)
    ]

    assert len(files) > 100
    assert [] == found


@pytest.mark.parametrize("text", ["https://pypi.org/simple", "'/work/main/x'", "see /root/.cache"])
def test_a_registry_or_machine_path_is_seen(text: str) -> None:
    """The test above can fail."""
    assert FOREIGN.search(text)
