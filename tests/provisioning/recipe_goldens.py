"""Recipes laid beside the documents that they come from, word for word.

``tests/golden/recipes/<recipe>.yaml`` holds the words of the document and why ours differ,
``<recipe>-<variant>.txt`` both side by side, then the file that is started from. After a change
``python -m tests.provisioning.recipe_goldens`` writes the latter anew; the former is for people.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from provisioning import recipe, rendering
from provisioning.recipe_schema import Recipe
from provisioning.rendering import Rendered
from provisioning.words import grouped

FOLDER = Path(__file__).parent.parent / "golden" / "recipes"
#: The files that a reader wants to see, of all that a launcher writes.
SHOWN = ("compose.yaml", "engine.service")


@dataclass(frozen=True)
class Deviation:
    """Words of the document that are not ours, words of ours that are not its, and why."""

    seed: tuple[str, ...]
    ours: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Golden:
    """What the document says for one variant, an option and its values a line."""

    title: str
    source: str
    seed: tuple[str, ...]
    deviations: tuple[Deviation, ...]

    @property
    def path(self) -> Path:
        """The file in which both stand side by side."""
        return FOLDER / f"{self.title.replace(':', '-')}.txt"


def goldens() -> Iterator[Golden]:
    """Every variant that comes from a document."""
    for path in sorted(FOLDER.glob("*.yaml")):
        data = yaml.safe_load(path.read_text())
        for variant, own in data["variants"].items():
            found = [*own.get("deviations", []), *data.get("deviations", [])]
            yield Golden(
                f"{path.stem}:{variant}",
                data["source"],
                tuple(own["seed"].strip().splitlines()),
                tuple(
                    Deviation(_lines(each.get("seed")), _lines(each.get("ours")), each["reason"])
                    for each in found
                ),
            )


def ours(made: Rendered) -> list[str]:
    """What we start, an option and its values a line."""
    composed = next((f for f in made.files if f.name == "compose.yaml"), None)
    if composed is not None:
        (service,) = yaml.safe_load(rendering.shown(composed))["services"].values()
        return list(_flat(service))
    lines = [" ".join(words) for words in made.command]
    if made.recipe.engine.container is None:
        lines = [*(f"export {name}={value}" for name, value in made.spec.env.items()), *lines]
    return lines


def problems(golden: Golden, made: Rendered) -> list[str]:
    """Differences that are not listed, and listed ones that are gone."""
    here, there = Counter(map(plain, ours(made))), Counter(map(plain, golden.seed))
    lost = Counter(plain(line) for each in golden.deviations for line in each.seed)
    added = Counter(plain(line) for each in golden.deviations for line in each.ours)
    missing, new = there - here, here - there
    return [
        *(f"not listed: the document's {line!r} is not ours" for line in missing - lost),
        *(f"not listed: our {line!r} is not the document's" for line in new - added),
        *(f"gone: the document's {line!r} is ours, or not its" for line in lost - missing),
        *(f"gone: our {line!r} is the document's, or not ours" for line in added - new),
    ]


def beside(golden: Golden, made: Rendered) -> str:
    """Both side by side, with the reasons, and what is started from."""
    lines = [f"{golden.title}", *textwrap.wrap(golden.source, 100), ""]
    width = max(map(len, golden.seed))
    lines += [f"{'the document':{width}} | ours", f"{'-' * width} | {'-' * len('the same')}"]
    listed = Counter(plain(line) for each in golden.deviations for line in each.seed)
    for line in golden.seed:
        same = "(not so)" if listed[plain(line)] else "the same"
        lines += [f"{line:{width}} | {same}"]
    for each in golden.deviations:
        rows = max(len(each.seed), len(each.ours))
        pairs = zip(_filled(each.seed, rows), _filled(each.ours, rows), strict=True)
        lines += ["", *(f"{seed or '-':{width}} | {own or '-'}" for seed, own in pairs)]
        lines += textwrap.wrap(each.reason, 96, initial_indent="    ", subsequent_indent="    ")
    lines += ["", "What is started:", "", *ours(made)]
    for file in made.files:
        if file.name in SHOWN:
            lines += ["", f"==> {file.name}", rendering.shown(file).rstrip()]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def plain(line: str) -> str:
    """A line without what makes no difference: ``=`` after an option, zeros of a fraction."""
    if line.startswith("--") and " " not in line:
        line = line.replace("=", " ", 1)
    return " ".join(map(_number, line.split()))


def loaded(golden: Golden) -> Recipe:
    """The variant that it is of."""
    return recipe.load(golden.title)


def _number(word: str) -> str:
    try:
        return f"{float(word):g}" if "." in word else word
    except ValueError:
        return word


def _lines(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else (value,)


def _filled(lines: Iterable[str], count: int) -> list[str]:
    found = list(lines)
    return found + [""] * (count - len(found))


def _flat(value: Any, path: str = "") -> Iterator[str]:
    """A service of Compose: ``command`` in options, all else as ``key.key: value``."""
    for key, inner in value.items():
        at = f"{path}{key}"
        if at == "command":
            yield from (" ".join(words) for words in grouped(inner))
        elif isinstance(inner, dict):
            yield from _flat(inner, f"{at}.")
        elif isinstance(inner, list):
            for item in inner:
                if isinstance(item, dict):
                    yield from _flat(item, f"{at}[].")
                else:
                    yield f"{at}[]: {item}"
        else:
            yield f"{at}: {inner}"


def write() -> None:
    """Write all anew."""
    for golden in goldens():
        golden.path.write_text(beside(golden, rendering.rendered(loaded(golden))))
        print(golden.path)


if __name__ == "__main__":
    write()
