from __future__ import annotations

from pathlib import Path

from tests.data import make_results


def files(root: Path) -> dict[str, bytes]:
    """What lies below *root*, by path."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_the_golden_directories_are_what_their_generator_writes(tmp_path: Path) -> None:
    """A change of the protocol shows as a diff here: run `python -m tests.data.make_results`."""
    make_results.write_whole(tmp_path)
    make_results.write_failed(tmp_path)

    golden = files(make_results.HERE)

    assert f"local/{make_results.WHOLE}/SHA256SUMS" in golden
    assert files(tmp_path) == golden
