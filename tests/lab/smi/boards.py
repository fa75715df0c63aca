"""The GPUs of a lab host, as nvidia-smi's stand-in finds them: recorded figures, set modes.

/run/lab-gpu/hardware.json is what is plugged in, /usr/share/lab-gpu/driver the version that is
installed, /proc/driver/nvidia/version the one that is loaded. Modes that a restart forgets are in
/run/lab-gpu/modes.json; those that the boards keep, in /var/lib/lab-gpu/boards.json, which counts
from the next restart or reset on (/run/lab-gpu/boards.json). In a container, /dev/lab-gpus lists
the UUIDs that it was given. Standard library only, for Python 3.10: it runs on the hosts.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

RUN = Path("/run/lab-gpu")
DRIVER = Path("/usr/share/lab-gpu/driver")
LOADED = Path("/proc/driver/nvidia/version")
GIVEN = Path("/dev/lab-gpus")
KEPT = Path("/var/lib/lab-gpu/boards.json")
UNKNOWN = "[N/A]"
_MODULE = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build\n"
_SILENT = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
    "Make sure that the latest NVIDIA driver is installed and running.\n"
)
_NODES = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")


class EndError(Exception):
    """The end of a call: what is printed at last, and the exit status."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(text)
        self.code, self.text = code, text


def _read(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return default


def _write(path: Path, value: Any) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(value))
    beside.replace(path)


def _line(path: Path) -> str:
    try:
        return path.read_text().partition("\n")[0]
    except OSError:
        return ""


def load_driver() -> str:
    """Load the installed driver, as the first one to ask does; return its version.

    Raises:
        EndError: there is no GPU, or another version is loaded.
    """
    version = _line(DRIVER)
    if GIVEN.exists():
        return version
    hardware = _read(RUN / "hardware.json", None)
    if not hardware:
        raise EndError(9, _SILENT)
    if not LOADED.exists():
        try:
            LOADED.parent.mkdir(exist_ok=True)
            LOADED.write_text(_MODULE.format(version))
        except OSError:
            raise EndError(9, _SILENT) from None
    if f" {version} " not in _line(LOADED):
        short = ".".join(version.split(".")[:2])
        what = "Failed to initialize NVML: Driver/library version mismatch\n"
        raise EndError(18, f"{what}NVML library version: {short}\n")
    if os.geteuid() == 0:
        _make_nodes(len(hardware["gpus"]))
    return version


def _make_nodes(count: int) -> None:
    for name in (*(f"nvidia{number}" for number in range(count)), *_NODES):
        path = Path("/dev", name)
        if not path.exists():
            os.mknod(path, 0o020666, os.makedev(1, 3))
            path.chmod(0o666)


class Gpu:
    """One GPU: what it is (`about`), and how it is set."""

    def __init__(self, index: int, about: dict[str, Any], smi: Smi) -> None:
        self.about, self.index = about, index
        self.uuid, self.bus = about["uuid"], about["pci.bus_id"]
        self.modes = smi.modes.setdefault(self.uuid, {})
        self.board = smi.boards.get(self.uuid, {})
        self.kept = smi.kept.setdefault(self.uuid, {})
        self.shown: list[str] | None = None  # all of its slices

    def instances(self) -> list[dict[str, Any]]:
        """Its GPU instances, to be changed in place."""
        at_boot = [dict(item) for item in self.about.get("instances", [])]
        found: list[dict[str, Any]] = self.modes.setdefault("instances", at_boot)
        return found

    def slices(self) -> list[tuple[str, str]]:
        """Profile and UUID of each compute instance that may be seen; one per GPU instance."""
        made = [item for item in self.instances() if item["compute"]]
        found = [(item["profile"], self._uuid_of(item)) for item in made]
        return [one for one in found if self.shown is None or one[1] in self.shown]

    def _uuid_of(self, item: dict[str, Any]) -> str:
        import hashlib  # most calls do without it, and it takes a while

        text = f"{self.uuid} {item['id']} {item['profile']}"
        h = hashlib.sha256(text.encode()).hexdigest()
        return f"MIG-{h[:8]}-{h[8:12]}-5{h[13:16]}-a{h[17:20]}-{h[20:32]}"

    def mig(self) -> str:
        """Whether it is cut in slices: ``Enabled``, ``Disabled`` or ``[N/A]``."""
        return str(self.modes.get("mig", self.about["mig.mode.current"]))

    def value(self, field: str, driver: str) -> str:
        """What ``--query-gpu`` tells of it."""
        ecc = self.about["ecc.mode.current"]
        now = time.time()
        settings = {
            "index": str(self.index),
            "driver_version": driver,
            "persistence_mode": self.modes.get("persistence", "Disabled"),
            "ecc.mode.current": self.board.get("ecc", ecc),
            "ecc.mode.pending": self.kept.get("ecc", ecc),
            "mig.mode.current": self.mig(),
            "mig.mode.pending": self.mig(),
            "timestamp": time.strftime("%Y/%m/%d %H:%M:%S") + f".{int(now % 1 * 1000):03d}",
        }
        if field == "utilization.gpu" and self.mig() == "Enabled":
            return UNKNOWN
        return str(settings.get(field) or self.about.get(field, UNKNOWN))


class Smi:
    """All GPUs that may be seen, and what is remembered of them."""

    def __init__(self, driver: str) -> None:
        self.driver = driver
        hardware = _read(RUN / "hardware.json", {"gpus": [], "cuda": ""})
        self.cuda, self.sockets = hardware["cuda"], hardware.get("sockets", 1)
        self.links = hardware.get("links", {})
        self.modes, self.kept = _read(RUN / "modes.json", {}), _read(KEPT, {})
        self.boards = _read(RUN / "boards.json", {})
        self.gpus = [Gpu(index, about, self) for index, about in enumerate(hardware["gpus"])]
        if GIVEN.exists():
            self._restrict(GIVEN.read_text().split())

    def _restrict(self, given: list[str]) -> None:
        kept: list[Gpu] = []
        for gpu in self.gpus:
            slices = [uuid for _, uuid in gpu.slices() if uuid in given]
            if gpu.uuid in given or slices:
                gpu.index = len(kept)
                gpu.shown = None if gpu.uuid in given else slices
                kept.append(gpu)
        self.gpus = kept

    def save(self) -> None:
        """Remember the modes that were set."""
        _write(RUN / "modes.json", self.modes)
        KEPT.parent.mkdir(exist_ok=True)
        _write(KEPT, self.kept)

    def apply(self) -> None:
        """What the boards keep counts from now on, as after a reset."""
        _write(RUN / "boards.json", self.kept)

    def choose(self, words: list[str]) -> list[Gpu]:
        """Take ``-i LIST`` out of *words*; the GPUs that it names, else all.

        Raises:
            EndError: there are none.
        """
        chosen = self.gpus
        for number, word in enumerate(words):
            name, _, value = word.partition("=")
            if name in {"-i", "--id"}:
                value = value or words[number + 1]
                wanted = set(value.split(","))
                chosen = [g for g in self.gpus if {str(g.index), g.uuid, g.bus} & wanted]
                if len(chosen) < len(wanted):
                    raise EndError(6, f"No devices were found matching {value}\n")
                del words[number : number + (1 if "=" in word else 2)]
                break
        if not chosen:
            raise EndError(6, "No devices were found\n")
        return chosen


def need_root(what: str, gpu: Gpu) -> None:
    """Nobody else may set a mode.

    Raises:
        EndError: this is not root, or is in a container.
    """
    if os.geteuid() != 0 or GIVEN.exists():
        refused = f"Unable to {what} for GPU {gpu.bus}: Insufficient Permissions\n"
        raise EndError(4, f"{refused}Terminating early due to previous errors.\n")
