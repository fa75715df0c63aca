"""Python sources without docstrings and comments: a third of the agent's archive.

Tokens say what goes, and text is cut by place alone, so the result is the same in every Python
that can read the source. Lines keep their numbers: a traceback from a host leads to the right
line of the checkout.
"""

from __future__ import annotations

import io
import token
import tokenize
from collections.abc import Sequence

_BLANK = {tokenize.NL, tokenize.COMMENT, tokenize.ENCODING}


def strip(source: str) -> str:
    """*source* with the same meaning, no comments, and no docstrings of blocks of their own.

    A docstring on the line of its ``def`` stays, and so does one that shares its line.
    """
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    lines = source.split("\n")
    for place in reversed(range(len(tokens))):
        found = tokens[place]
        if found.type == tokenize.COMMENT:
            _cut(lines, found, "")
        elif _is_docstring(tokens, place):
            # A block needs a statement; a module has none to spare before __future__ imports.
            _cut(lines, found, "0" if found.start[1] else "")
    return "\n".join(lines)


def _is_docstring(tokens: Sequence[tokenize.TokenInfo], place: int) -> bool:
    found = tokens[place]
    if found.type != token.STRING or found.string.lstrip("rRuU")[0] not in "'\"":
        return False
    before = next((t for t in reversed(tokens[:place]) if t.type not in _BLANK), None)
    after = next(t for t in tokens[place + 1 :] if t.type not in _BLANK)
    return (before is None or before.type == token.INDENT) and after.type == token.NEWLINE


def _cut(lines: list[str], found: tokenize.TokenInfo, instead: str) -> None:
    """Put *instead* in the place of a token; the lines that it took stay, empty."""
    (first, begin), (last, end) = found.start, found.end
    kept = lines[first - 1][:begin] + instead + lines[last - 1][end:]
    lines[first - 1 : last] = [kept.rstrip(), *[""] * (last - first)]
