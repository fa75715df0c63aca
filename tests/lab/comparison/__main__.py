"""`python -m tests.lab.comparison`: time `fab provision`, pyinfra and Ansible on fresh lab hosts.

Figures are printed; nothing is asserted of them. What a tool finds is: each has to find that
nothing is to change where `fab provision` was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.lab.comparison import environment, measure, table, tree
from tests.lab.comparison.tools import Ansible, Fab, Pyinfra, Tool
from tests.lab.host import LabHost
from tests.lab.lab import Lab, say
from tests.lab.machine import LabError
from tests.lab_tests.stacks import LabStack, stack_of

_NOTHING = {False: "what host.yaml asks for", True: "the same with a tree of 30 files"}

#: By this pyinfra knows that the lists of packages were read lately; `fab` has a stamp of its own.
LISTS_ARE_NEW = "cd /var/lib/apt && mkdir -p periodic && touch periodic/update-success-stamp"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.comparison", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="with nothing to change, each")
    parser.add_argument("--firsts", type=int, default=1, help="first runs, on a fresh host each")
    parser.add_argument("--hosts", type=int, default=1, help="so many at once, by fab; only that")
    parser.add_argument("--without", choices=["ansible"], action="append", default=[])
    parser.add_argument("--prefix", default="cmp", help="of the hosts' names")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    return parser


class Comparison:
    """One run of this program: its hosts, its stacks, its files."""

    def __init__(self, args: argparse.Namespace, lab: Lab, closing: ExitStack) -> None:
        self.args = args
        self.lab = lab
        self._closing = closing
        self.folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        tree.write(self.folder)

    def stack(self, *hosts: LabHost) -> LabStack:
        """A stack of *hosts*, which goes with this."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        return self._closing.enter_context(stack_of(folder, *hosts))

    def timed(self, tool: Tool, *, with_tree: bool, unchanged: bool) -> measure.Run:
        """Run *tool*, and say what it took."""
        found = measure.run(tool, self.folder, with_tree=with_tree, unchanged=unchanged)
        what = "nothing to change" if unchanged else "first run"
        say(f"{tool.name}, {what}{', with the tree' * with_tree}: {found.seconds:.2f} s")
        return found

    def tools(self, host: LabHost) -> list[Tool]:
        """All that are compared, for *host*."""
        programs = environment.ensure(say)
        found: list[Tool] = [Fab(self.stack(host)), Pyinfra(host, programs, self.folder)]
        if "ansible" not in self.args.without:
            found.append(Ansible(host, programs, self.folder))
        return found

    def tools_compared(self) -> dict[str, Any]:
        """First runs, then runs with nothing to change on the host that `fab` made."""
        firsts: dict[str, list[float]] = {}
        kept, tools = self._first_runs(firsts)
        kept.docker_exec(LISTS_ARE_NEW)
        for tool in tools:  # they agree on what was asked for, and have been there before
            self.timed(tool, with_tree=True, unchanged=True)
        found: dict[str, Any] = {"first": firsts}
        for with_tree, title in _NOTHING.items():
            found[title] = self._nothing(tools, with_tree=with_tree)
        exchanges = measure.exchanges(kept, self.args.runs)
        return found | {"exchange": exchanges, "parts": self._parts(tools[0])}

    def _first_runs(self, firsts: dict[str, list[float]]) -> tuple[LabHost, list[Tool]]:
        kept: tuple[LabHost, list[Tool]] | None = None
        for _ in range(self.args.firsts):
            for number in range(3 - len(self.args.without)):
                host = self.lab.host()
                tools = self.tools(host)
                tool = tools[number]
                took = self.timed(tool, with_tree=True, unchanged=False).seconds
                firsts.setdefault(tool.name, []).append(took)
                if number == 0 and kept is None:
                    kept = host, tools
                else:
                    self.lab.remove(host)
        if kept is None:
            raise LabError("--firsts: one at least")
        return kept

    def _nothing(self, tools: Sequence[Tool], *, with_tree: bool) -> dict[str, list[float]]:
        times: dict[str, list[float]] = {tool.name: [] for tool in tools}
        for _ in range(self.args.runs):
            for tool in tools:
                took = self.timed(tool, with_tree=with_tree, unchanged=True).seconds
                times[tool.name].append(took)
        return times

    def _parts(self, fab: Tool) -> list[dict[str, float]]:
        runs = (self.timed(fab, with_tree=False, unchanged=True) for _ in range(self.args.runs))
        return [measure.parts(run) for run in runs]

    def hosts_compared(self) -> dict[str, Any]:
        """All hosts at once against one of them."""
        hosts = self.lab.hosts(self.args.hosts, docker=True)
        tools = {"1": Fab(self.stack(hosts[0])), str(len(hosts)): Fab(self.stack(*hosts))}
        together = tools[str(len(hosts))]
        first = self.timed(together, with_tree=False, unchanged=False).seconds
        times: dict[str, list[float]] = {name: [] for name in tools}
        for _ in range(self.args.runs):
            for name, tool in tools.items():
                took = self.timed(tool, with_tree=False, unchanged=True).seconds
                times[name].append(took)
        return {"first": first, "hosts": times}


def _shown(found: dict[str, Any]) -> str:
    told = [f"{found['date']}; {found['machine']}\n"]
    if "hosts" in found:
        count = max(map(int, found["hosts"]))
        told.append(table.block("Nothing to change", table.of_hosts(count, found["hosts"])))
        return "\n".join(told)
    told.append(table.OPERATIONS)
    told.append(table.block("First run, with the tree", table.against(found["first"])))
    told += [
        table.block(f"Nothing to change: {title}", table.against(found[title]))
        for title in _NOTHING.values()
    ]
    told.append(table.block("Parts of fab provision", table.of_parts(found["parts"])))
    exchanges = [{"the exchange alone": seconds} for seconds in found["exchange"]]
    told.append("\n".join(table.of_parts(exchanges)))
    return "\n".join(told)


def _machine(before: tuple[float, float, float]) -> str:
    loads = f"{before[0]:.1f} before and {os.getloadavg()[0]:.1f} after"
    pins = environment.versions()
    others = f"pyinfra {pins['pyinfra']}, ansible-core {pins['ansible-core']}"
    return f"{os.cpu_count()} cores, load {loads}; {others}"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 with a line that says why."""
    args = _parser().parse_args(argv)
    before = os.getloadavg()
    try:
        lab = Lab(args.prefix)
        with ExitStack() as closing:
            closing.callback(lab.close)
            compared = Comparison(args, lab, closing)
            several = args.hosts > 1
            found = compared.hosts_compared() if several else compared.tools_compared()
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    date = datetime.now(UTC).date().isoformat()
    found |= {"date": date, "machine": _machine(before)}
    print(json.dumps(found, indent=2) if args.json else _shown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
