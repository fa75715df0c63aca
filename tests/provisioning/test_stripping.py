"""The agent's sources lose words for people, and nothing else."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from provisioning import stripping
from tests.architecture.sources import CHECKOUT, modules, name

AGENT = modules("bench_agent")
#: Packs every file that is named, and prints the hash of the archive.
_HASH = """
import hashlib, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from provisioning import archive
packed = archive.pack({n: Path(sys.argv[1], n).read_bytes() for n in sys.argv[2:]})
print(hashlib.sha256(packed).hexdigest())
"""


def bare(source: str) -> str:
    """The syntax of *source* with its places, less the docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        match node:
            case ast.Module(body=[ast.Expr(value=ast.Constant(value=str())), *rest]):
                node.body = rest
            case (
                ast.ClassDef(body=[ast.Expr(value=ast.Constant()), *rest])
                | ast.FunctionDef(body=[ast.Expr(value=ast.Constant()), *rest])
                | ast.AsyncFunctionDef(body=[ast.Expr(value=ast.Constant()), *rest])
            ):
                node.body = rest
    return ast.dump(tree)


def lines(source: str) -> list[int]:
    """The line of every statement that is no docstring, in order."""
    tree = ast.parse(source)
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]


@pytest.mark.parametrize("path", AGENT, ids=name)
def test_a_stripped_source_means_the_same(path: Path) -> None:
    """Of each module of the agent: the same syntax but for docstrings, each on its line."""
    source = path.read_text()
    stripped = stripping.strip(source)

    assert bare(source) == bare(stripped)
    assert lines(source) == lines(stripped)
    assert source.count("\n") == stripped.count("\n")
    compile(stripped, str(path), "exec")


def test_nothing_for_people_is_left() -> None:
    """No comment and no docstring of more than a line is in the archive."""
    stripped = [stripping.strip(path.read_text()) for path in AGENT]

    assert len(stripped) > 20
    docs = [ast.get_docstring(ast.parse(text)) for text in stripped]
    assert {None} == set(docs)
    assert sum(map(len, stripped)) < 0.85 * sum(len(path.read_text()) for path in AGENT)


@pytest.mark.parametrize(
    ("source", "stripped"),
    [
        (
            '"""Doc."""\nfrom __future__ import annotations\n',
            "\nfrom __future__ import annotations\n",
        ),
        ('def f():\n    """Doc.\n\n    More.\n    """\n', "def f():\n    0\n\n\n\n"),
        ('class C:\n    """Doc."""  # said\n\n    x = 1\n', "class C:\n    0\n\n    x = 1\n"),
        ("x = 1  # one\n# alone\n", "x = 1\n\n"),
        ('x = "# no comment"\n', 'x = "# no comment"\n'),
        ('x = """a\n# no comment\n"""\n', 'x = """a\n# no comment\n"""\n'),
        ('def f():\n    "one" "two"\n', 'def f():\n    "one" "two"\n'),
        ('def f():\n    f"{x}"\n', 'def f():\n    f"{x}"\n'),
        ('def f():\n    b"x"\n', 'def f():\n    b"x"\n'),
        ('def f(): "short"\n', 'def f(): "short"\n'),
        ('def f():\n    r"""\\d"""\n    return 1\n', "def f():\n    0\n    return 1\n"),
        ('def f():\n    # first\n    """Doc."""\n', "def f():\n\n    0\n"),
        ('def f():\n    """Ünïcode → 1."""  # ü\n', "def f():\n    0\n"),
        ('f(\n    "arg",  # why\n)\n', 'f(\n    "arg",\n)\n'),
    ],
)
def test_what_goes_and_what_stays(source: str, stripped: str) -> None:
    """Docstrings and comments go, texts that do something stay, and so does every line."""
    assert stripped == stripping.strip(source)


def other_pythons() -> list[str]:
    """Interpreters of this machine beside our own that can run the controller."""
    found = [shutil.which(f"python3.{minor}") for minor in range(11, 16)]
    managed = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3"))
    asked = [*filter(None, found), *map(str, managed)]
    check = "import sys; print(sys.version_info >= (3, 11))"
    can = (p for p in asked if "True" in subprocess.getoutput(f'"{p}" -c "{check}"'))
    return [p for p in dict.fromkeys(can) if Path(p).resolve() != Path(sys.executable).resolve()]


@pytest.mark.integration
def test_the_archive_is_the_same_from_any_python() -> None:
    """Byte for byte, from each Python of this machine that can run the controller."""
    others = other_pythons()
    if not others:
        pytest.skip("this machine has one Python only")
    argv = ["-I", "-B", "-c", _HASH, str(CHECKOUT), *map(name, AGENT)]
    said = {
        python: subprocess.run([python, *argv], capture_output=True, text=True, check=True).stdout
        for python in [sys.executable, *others]
    }

    assert 1 == len(set(said.values())), said
