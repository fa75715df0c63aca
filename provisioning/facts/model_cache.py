"""What the cache holds of a model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from provisioning.command import Command, Fact

_ASK = r"""
cd "$1/hub/$2" 2>/dev/null || exit 0
commit=$3
case $3 in
  *[!0-9a-f]*) commit= ;;
  ????????????????????????????????????????) ;;
  *) commit= ;;
esac
[ -n "$commit" ] || commit=$(cat "refs/$3" 2>/dev/null)
[ -z "$commit" ] || {
  echo "commit $commit"
  find -L "snapshots/$commit" -type f -printf 'file %s %P\n' 2>/dev/null
  printf 'receipt '
  cat "$1/dyno/$2/$commit.json" 2>/dev/null || :
  echo
}
find blobs -name '*.incomplete' -printf 'incomplete %s %f\n' 2>/dev/null
:
"""


@dataclass(frozen=True)
class Cached:
    """`complete`: every file of the receipt is there, in its size; `bytes`, `files` of the commit.

    `leftovers` is how many partial files there are, of any commit, and `leftover_bytes` their size.
    `hub`, `tool` and `seconds` stand in the receipt: from where, by what, how long it took.
    """

    complete: bool
    commit: str = ""
    bytes: int = 0
    files: int = 0
    leftovers: int = 0
    leftover_bytes: int = 0
    hub: str = ""
    tool: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class ModelCache(Fact[Cached]):
    """The model *name* at *revision* (a commit, branch or tag) in the cache *home*.

    A branch or tag is the commit that it was when it was brought here. What another tool brought
    has no receipt and counts as incomplete: only the hub knows which files it should have.
    """

    home: str
    name: str
    revision: str = "main"

    @property
    def command(self) -> Command:
        """List its files, its receipt, and partial files."""
        folder = "models--" + self.name.replace("/", "--")
        shown = f"look for {self.name} in {self.home}"
        return Command.shell(_ASK, self.home, folder, self.revision, shown=shown)

    def parse(self, stdout: str) -> Cached:
        """Read lines of ``commit``, ``file``, ``receipt`` and ``incomplete``."""
        said: dict[str, list[str]] = {"commit": [], "file": [], "receipt": [], "incomplete": []}
        for line in stdout.splitlines():
            word, _, rest = line.partition(" ")
            if word in said:
                said[word].append(rest)
        found = {path: int(size) for size, _, path in (f.partition(" ") for f in said["file"])}
        written = receipt("".join(said["receipt"]))
        promised = written.get("files", {})
        left = [int(line.partition(" ")[0]) for line in said["incomplete"]]
        return Cached(
            complete=bool(promised) and all(found.get(p) == s for p, s in promised.items()),
            commit="".join(said["commit"]),
            bytes=sum(found.values()),
            files=len(found),
            leftovers=len(left),
            leftover_bytes=sum(left),
            hub=str(written.get("hub", "")),
            tool=str(written.get("tool", "")),
            seconds=float(written.get("seconds", 0.0)),
        )


def receipt(text: str) -> dict[str, Any]:
    """What was written down of a model; nothing of one that cannot be read."""
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
