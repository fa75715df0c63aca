"""Recipes: which there are, and what each does."""

from __future__ import annotations

from datetime import timedelta
from textwrap import indent
from typing import Any

from fabfile import console
from fabfile.tasks import task
from provisioning import recipe as recipe_files
from provisioning import recipe_about
from provisioning.stack import minutes


@task(help={"recipe": "Explain this one; without it, all are listed."})
def recipes(c: Any, recipe: str | None = None, json: bool = False) -> None:
    """List the recipes, or explain one: what it serves, how, under which load, where from."""
    del c
    names = [recipe] if recipe else recipe_files.names()
    found = [recipe_about.family(name) for name in names]
    if json:
        console.show_json(found[0] if recipe else found)
    elif recipe:
        print("\n".join(_explained(found[0])))
    else:
        print("\n".join(line for each in found for line in _listed(each)))


def _listed(family: dict[str, Any]) -> list[str]:
    lines = [f"{family['recipe']}: {family['description']}"]
    if family["series"]:
        lines.append(f"  variants: {', '.join(each['variant'] for each in family['variants'])}")
    return lines


def _explained(family: dict[str, Any]) -> list[str]:
    lines = [f"{family['recipe']}: {family['description']}", ""]
    if family["extends"]:
        lines += [f"It extends {family['extends']}.", ""]
    if family["origin"]:
        lines += [indent(family["origin"], "  "), ""]
    for each in family["variants"]:
        lines += [*_variant(family["recipe"], each), ""]
    return lines[:-1]


def _variant(recipe: str, about: dict[str, Any]) -> list[str]:
    title = f"{recipe}:{about['variant']}" if about["variant"] else recipe
    rows = {
        "what": about["description"],
        "model": about["model"],
        "engine": f"{about['engine']} by {about['launcher']}",
        "image": about["image"],
        "layout": about["layout"],
        "load": about["load"],
        "points": ", ".join(about["points"]),
        "at most": minutes(timedelta(seconds=about["planned_s"])),
        "host": "; ".join(about["host"]),
    }
    return [title, *(f"  {name:8}{value}" for name, value in rows.items() if value)]
