"""The page of one run: a single HTML file that asks no other host for anything."""

from __future__ import annotations

from pathlib import Path

import jinja2

from reporting import page
from reporting.errors import ReportError
from reporting.run import Run, load

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
TEMPLATE = "report.html.j2"


def write(run_dir: Path) -> Path:
    """Write ``home/report.html`` for the run in *run_dir* and return its path.

    The page replaces an earlier one whole, or not at all.

    Raises:
        ReportError: the run cannot be read (see `reporting.run.load`), or the page not written.
    """
    target = run_dir / "home" / "report.html"
    text = render(load(run_dir))
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ReportError(
            f"{target} cannot be written: {reason}.", "Make room or check its permissions."
        ) from None
    return target


def render(run: Run) -> str:
    """The page of *run* as HTML; everything that came from outside is escaped.

    Raises:
        ReportError: the records of a point cannot be read.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(TEMPLATE).render(page.of_run(run))
