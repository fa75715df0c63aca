"""Who may import whom."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import CHECKOUT, PACKAGES, modules, name, tree

AGENT = modules("bench_agent")


def foreign(module: ast.Module, own: str) -> list[str]:
    """Imported top-level packages that are neither the standard library nor *own*."""
    found = []
    for node in ast.walk(module):
        match node:
            case ast.Import(names=names):
                found += [alias.name for alias in names]
            case ast.ImportFrom(module=str() as origin, level=0):
                found.append(origin)
    packages = {package.partition(".")[0] for package in found}
    return sorted(packages - sys.stdlib_module_names - {own})


def lint_imports(checkout: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of pyproject.toml in *checkout*."""
    program = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [program, "--no-cache"], cwd=checkout, capture_output=True, text=True, check=False
    )


def test_the_agent_is_standard_library_only() -> None:
    """Hosts have nothing but Python: no module of the agent imports anything else."""
    found = {name(path): foreign(tree(path), "bench_agent") for path in AGENT}

    assert len(found) > 5
    assert {} == {path: packages for path, packages in found.items() if packages}


@pytest.mark.parametrize(
    "line", ["import fabric", "import os, yaml.nodes", "from stacks.outputs import Price"]
)
def test_a_foreign_import_is_seen(line: str) -> None:
    """The test above can fail: at the top of a module and inside a function."""
    assert foreign(ast.parse(line), "bench_agent")
    assert foreign(ast.parse(f"def f():\n    {line}"), "bench_agent")


@pytest.mark.integration
def test_the_contracts_between_packages_hold() -> None:
    """import-linter finds every direction of pyproject.toml kept."""
    done = lint_imports(CHECKOUT)

    assert 0 == done.returncode, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.integration
@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("bench_agent/planted.py", "import fabric"),
        ("stacks/planted.py", "import provisioning"),
        ("provisioning/planted.py", "import pulumi"),
        ("provisioning/facts/planted.py", "import paramiko"),
        ("reporting/planted.py", "import stacks.outputs"),
    ],
)
def test_a_planted_import_breaks_a_contract(tmp_path: Path, module: str, line: str) -> None:
    """One import in the wrong direction is enough for import-linter to fail."""
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.part")
        shutil.copytree(CHECKOUT / package, tmp_path / package, ignore=ignored)
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    (tmp_path / module).write_text(f"{line}\n")

    done = lint_imports(tmp_path)

    assert 1 == done.returncode, done.stdout + done.stderr
    assert "BROKEN" in done.stdout
