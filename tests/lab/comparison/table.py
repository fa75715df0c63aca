"""What was measured, as text of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

#: What is asked for, and what each tool does for it.
OPERATIONS = """\
What is asked for                fab provision   pyinfra         Ansible
6 packages, and docker.io        apt (one call)  apt.packages    apt
daemon.json, one key             merged          files.put       copy
4 folders, 5 files of root's     files.*         files.*         file, copy
2 kernel settings                sysctl          server.sysctl   shell
units read anew when changed     systemctl       systemd         systemd_service
1 unit active and enabled        systemctl       systemd         systemd_service
user in the group docker         usermod         server.user     user
limits of running processes,
 ports, disk, memory, Python     looked at       -               -
with the tree: 30 files, 1 unit  30 x files.file files.sync      copy
"""

Times = Mapping[str, Sequence[float]]


def against(times: Times) -> list[str]:
    """A line a tool: median, least and most in seconds, and `fab`'s share of it."""
    own = median(times["fab"])
    lines = [f"{'':12}{'median s':>10}{'least':>10}{'most':>10}{'fab / it':>10}"]
    for name, found in times.items():
        middle = median(found)
        figures = f"{middle:10.2f}{min(found):10.2f}{max(found):10.2f}{own / middle:10.2f}"
        lines.append(f"{name:12}{figures}")
    return lines


def of_parts(runs: Sequence[Mapping[str, float]]) -> list[str]:
    """A line a part: its median over *runs*."""
    return [f"{name:28}{median(run[name] for run in runs):8.2f} s" for name in runs[0]]


def of_hosts(count: int, times: Times) -> list[str]:
    """One host and *count* at once, and the ratio."""
    one, many = median(times["1"]), median(times[str(count)])
    least = min(times[str(count)]) / min(times["1"])
    return [
        f"{'':12}{'median s':>10}{'least':>10}",
        f"{'1 host':12}{one:10.2f}{min(times['1']):10.2f}",
        f"{f'{count} hosts':12}{many:10.2f}{min(times[str(count)]):10.2f}",
        f"{'ratio':12}{many / one:10.2f}{least:10.2f}   (bound 2.5)",
    ]


def block(title: str, lines: Iterable[str]) -> str:
    """*lines* below their title."""
    return "\n".join([title, *lines, ""])
