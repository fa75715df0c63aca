"""Runs on the host, sent as standard input of its Python: what can be told of an engine there.

Standard library only, Python 3.10 on. Prints one JSON object, the fields of `state.State`.
Nothing that hangs or is missing there keeps the rest from being told.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import subprocess
import sys
from typing import Any

#: Of one command. A driver that hangs is one of the things that are looked for.
PATIENCE_S = 8
SMI_FAILED = "nvidia-smi does not answer."
_KERNEL = re.compile(
    r"oom-kill:|Out of memory|Killed process|NVRM|Xid|segfault|general protection|invalid opcode"
)
_SECONDS = re.compile(r"^\[\s*(\d+)\.\d+\]")
_MOST = 40


def said(*argv: str) -> tuple[int | None, str]:
    """How a command ended (None: it is not there, or hangs) and what it said."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=PATIENCE_S, errors="replace", check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None, ""
    return done.returncode, done.stdout if done.returncode == 0 else done.stdout + done.stderr


def as_root(*argv: str) -> tuple[int | None, str]:
    """The same, as root where we may."""
    code, text = said(*argv) if os.getuid() == 0 else said("sudo", "-n", *argv)
    return (code, text) if code == 0 else said(*argv)


def read(path: str) -> str:
    """A file's text; empty when it cannot be read."""
    try:
        with open(path, encoding="latin-1") as file:  # noqa: PTH123 - few imports, quick start
            return file.read()
    except OSError:
        return ""


def number(text: str) -> int | None:
    """A whole number, if it is one."""
    plain = text.strip().partition(".")[0]
    return int(plain) if plain.isdigit() else None


def processes() -> dict[int, tuple[int, int, int, str]]:
    """Parent, group and start (ticks since boot) of all processes, and whether it is gone."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/stat"):  # noqa: PTH207 - few imports, quick start
        fields = read(path).rpartition(") ")[2].split()
        if fields:
            pid = int(path.split("/")[2])
            found[pid] = (int(fields[1]), int(fields[2]), int(fields[19]), fields[0])
    return found


class Engine:
    """One instance: its folder's pid file, and what its launcher knows."""

    def __init__(self, folder: str, there: dict[int, tuple[int, int, int, str]]) -> None:
        self.name = os.path.basename(folder)  # noqa: PTH119 - few imports, quick start
        words = read(folder + "/pid").split()
        self.pid = int(words[0]) if words else 0
        self.born = int(words[1]) if len(words) > 1 else 0
        booted = len(words) > 2 and words[2] == read("/proc/sys/kernel/random/boot_id").strip()
        one = there.get(self.pid)
        self.alive = bool(booted and one and one[2] == self.born and one[3] not in "ZX")

    def about(self) -> dict[str, Any]:
        """As `state.Ended`."""
        known: dict[str, Any] = {"engine": self.name, "alive": self.alive}
        return known | (self._container() or self._unit() or {})

    def _container(self) -> dict[str, Any] | None:
        form = "{{json .State}} {{.RestartCount}}"
        for docker in (said, as_root):
            code, text = docker("docker", "inspect", "--format", form, "dyno-" + self.name)
            if code == 0:
                state, _, restarts = text.strip().rpartition(" ")
                was = json.loads(state)
                over = {} if was.get("Running") else {"exit_code": was.get("ExitCode")}
                return {
                    **over,
                    "oom_killed": bool(was.get("OOMKilled")),
                    "restarts": number(restarts),
                }
        return None

    def _unit(self) -> dict[str, Any] | None:
        names = "LoadState,Result,ExecMainCode,ExecMainStatus,NRestarts"
        code, text = said("systemctl", "show", "-p", names, f"dyno-{self.name}.service")
        told = dict(line.partition("=")[::2] for line in text.splitlines())
        if code != 0 or told.get("LoadState") != "loaded":
            return None
        by = {"1": "exit_code", "2": "signal", "3": "signal"}.get(told.get("ExecMainCode", ""))
        over = {by: number(told.get("ExecMainStatus", ""))} if by and not self.alive else {}
        return {
            **over,
            "oom_killed": told.get("Result") == "oom-kill",
            "restarts": number(told.get("NRestarts", "")),
        }


def ours(engines: list[Engine], there: dict[int, tuple[int, int, int, str]]) -> set[int]:
    """The engines' processes, and all that come from them."""
    known = {engine.pid for engine in engines if engine.alive}
    groups = set(known)
    while True:
        more = {
            pid
            for pid, (parent, group, _, _) in there.items()
            if pid not in known and (parent in known or group in groups)
        }
        if not more:
            return known
        known |= more


def gpus(mine: set[int]) -> dict[str, Any]:
    """Memory of the GPUs, and who has it; why it cannot be told."""
    if not shutil.which("nvidia-smi"):
        return {}
    form = "--format=csv,noheader,nounits"
    code, text = said("nvidia-smi", "--query-gpu=index,name,memory.used,memory.total", form)
    if code != 0:
        return {"smi_error": text.strip()[:500] or SMI_FAILED}
    rows = [[part.strip() for part in line.split(",")] for line in text.splitlines()]
    memory = [
        {"index": int(r[0]), "name": r[1], "used_mib": number(r[2]), "total_mib": number(r[3])}
        for r in rows
        if len(r) == 4 and r[0].isdigit()
    ]
    code, text = said("nvidia-smi", "--query-compute-apps=pid,process_name,used_memory", form)
    apps = [line.split(",") for line in text.splitlines()] if code == 0 else []
    users = [
        {
            "pid": int(app[0]),
            "name": app[1].strip(),
            "used_mib": number(app[2]),
            "ours": int(app[0]) in mine,
        }
        for app in apps
        if len(app) == 3 and app[0].strip().isdigit()
    ]
    return {"gpus": memory, "gpu_processes": users}


def disks(folders: list[str]) -> dict[str, int]:
    """Free bytes."""
    free = {}
    for folder in folders:
        try:
            free[folder] = shutil.disk_usage(folder).free
        except OSError:  # noqa: PERF203 - a folder that is not there is left out
            continue
    return free


def kernel(since_s: float) -> list[str]:
    """What the kernel has said since then (seconds after boot) that may matter."""
    code, text = as_root("dmesg")
    if code != 0:
        code, text = as_root("journalctl", "-k", "-b", "-o", "short-monotonic", "--no-pager")
    lines = []
    for line in text.splitlines() if code == 0 else ():
        stamp = _SECONDS.match(line)
        if stamp and int(stamp[1]) + 1 >= since_s and _KERNEL.search(line):
            lines.append(line[:300])
    return lines[-_MOST:]


def runtimes() -> list[str] | None:
    """Docker's runtimes; None without Docker."""
    if not shutil.which("docker"):
        return None
    form = "{{range $name, $_ := .Runtimes}}{{$name}} {{end}}"
    code, text = as_root("docker", "info", "--format", form)
    return sorted(text.split()) if code == 0 else None


def memory_free_mib() -> int | None:
    """Of the host, as Linux counts what is available."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", read("/proc/meminfo"), re.MULTILINE)
    return int(found[1]) >> 10 if found else None


def state(task: dict[str, Any]) -> dict[str, Any]:
    """All of it."""
    there = processes()
    # Those of the run itself, of its other instances, and of what stands in front of them.
    name = glob.escape(task["engine"])
    folders = [task["engine"], *sorted(glob.glob(name + ".*"))]  # noqa: PTH207 - as above
    engines = [Engine(folder, there) for folder in folders if os.path.isdir(folder)]  # noqa: PTH112 - as above
    hertz = os.sysconf("SC_CLK_TCK")
    born = [engine.born / hertz for engine in engines if engine.born]
    return {
        "engines": [engine.about() for engine in engines],
        "disks": disks([*task["disks"], "/", "/dev/shm"]),  # noqa: S108 - its size matters
        "memory_free_mib": memory_free_mib(),
        "docker_runtimes": runtimes(),
        "kernel": kernel(min(born, default=float("inf"))),
        **gpus(ours(engines, there)),
    }


if __name__ == "__main__":
    print(json.dumps(state(json.loads(sys.argv[1]))))
