"""What nvidia-smi's stand-in prints, and what it sets."""

from __future__ import annotations

import sys
import time

import boards
from boards import UNKNOWN, EndError, Gpu, Smi, need_root

ALIASES = {
    "gpu_name": "name",
    "gpu_uuid": "uuid",
    "gpu_bus_id": "pci.bus_id",
    "gpu_serial": "serial",
    "clocks.current.sm": "clocks.sm",
    "clocks.current.memory": "clocks.mem",
    "clocks.current.graphics": "clocks.gr",
    "clocks_throttle_reasons.active": "clocks_event_reasons.active",
    "power.draw.instant": "power.draw",
    "power.draw.average": "power.draw",
}
#: Since which driver a field is known.
SINCE = {
    "mig.mode.current": 450,
    "mig.mode.pending": 450,
    "compute_cap": 510,
    "power.draw.instant": 530,
    "power.draw.average": 530,
    "clocks_event_reasons.active": 535,
}
#: Fields that are not among the recorded figures.
_SET = {"index", "driver_version", "count", "timestamp", "mig.mode.pending", "ecc.mode.pending"}
_SWITCHES = {"0": "Disabled", "1": "Enabled", "DISABLED": "Disabled", "ENABLED": "Enabled"}
_TOGGLES = {
    "-pm": "persistence",
    "--persistence-mode": "persistence",
    "-e": "ecc",
    "--ecc-config": "ecc",
    "-mig": "mig",
    "--multi-instance-gpu": "mig",
}
_USAGE = "Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n"
_LEGEND = """
Legend:

  X    = Self
  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes (e.g., QPI/UPI)
  NODE = Connection traversing PCIe as well as the interconnect between PCIe Host Bridges within a NUMA node
  PIX  = Connection traversing at most a single PCIe bridge
"""  # noqa: E501 # as nvidia-smi prints it


def _list_gpus(smi: Smi, words: list[str]) -> str:
    lines = []
    for gpu in smi.choose(words):
        lines.append(f"GPU {gpu.index}: {gpu.about['name']} (UUID: {gpu.uuid})\n")
        if gpu.mig() == "Enabled":
            for number, (profile, uuid) in enumerate(gpu.slices()):
                lines.append(f"  MIG {profile:<12}Device {number:2}: (UUID: {uuid})\n")
    return "".join(lines)


def _query(smi: Smi, fields: list[str], words: list[str]) -> str:
    """CSV of *fields*, once or, with -l or -lms, again and again."""
    chosen = smi.choose(words)
    form, every = _form(words)
    names = _names(smi, chosen[0], fields)
    if "noheader" not in form:
        heads = zip(fields, names, strict=True)
        print(", ".join(_head(field, chosen[0].about.get(name, "")) for field, name in heads))
    while True:
        for gpu in chosen:
            row = [_cell(smi, gpu, name, units="nounits" not in form) for name in names]
            print(", ".join(row), flush=True)
        if every is None:
            return ""
        time.sleep(every)


def _form(words: list[str]) -> tuple[list[str], float | None]:
    every, form = None, ""
    while words:
        name, _, value = words.pop(0).partition("=")
        if name in {"-l", "--loop", "-lms", "--loop-ms"}:
            value = value or (words.pop(0) if words else "5")
            every = float(value) / (1000 if "ms" in name else 1)
        elif name == "--format":
            form = value or words.pop(0)
        else:
            raise EndError(2, f"Option {name} is not recognized. Please run 'nvidia-smi -h'.\n")
    if "csv" not in form.split(","):
        raise EndError(2, "\"--format=\" missing. Please run 'nvidia-smi --help' for help.\n")
    return form.split(","), every


def _names(smi: Smi, gpu: Gpu, fields: list[str]) -> list[str]:
    names = [ALIASES.get(field, field) for field in fields]
    for field, name in zip(fields, names, strict=True):
        known = name in gpu.about or name in _SET
        if not known or int(smi.driver.split(".")[0]) < SINCE.get(field, 0):
            raise EndError(2, f'Field "{field}" is not a valid field to query.\n')
    return names


def _head(field: str, example: str) -> str:
    number, _, unit = example.partition(" ")
    return f"{field} [{unit}]" if unit and number[:1].isdigit() else field


def _cell(smi: Smi, gpu: Gpu, name: str, *, units: bool) -> str:
    value = str(len(smi.gpus)) if name == "count" else gpu.value(name, smi.driver)
    number, _, unit = value.partition(" ")
    has_unit = unit in {"MiB", "W", "MHz", "%"} and number[:1].isdigit()
    return number if has_unit and not units else value


def _switch(smi: Smi, kind: str, value: str, words: list[str]) -> str:
    """Set persistence mode, ECC or MIG of the chosen GPUs."""
    chosen = smi.choose(words)
    wanted = _SWITCHES.get(value.upper())
    if not wanted:
        raise EndError(2, f"Invalid argument: {value}\n")
    setter = {"persistence": _set_persistence, "ecc": _set_ecc, "mig": _set_mig}[kind]
    lines = [setter(gpu, wanted) for gpu in chosen]
    smi.save()
    modes = ("ecc.mode.current", "ecc.mode.pending")
    reboot = any(len({gpu.value(mode, "") for mode in modes}) > 1 for gpu in chosen)
    end = "Reboot required.\n" if reboot and kind == "ecc" else ""
    return f"{''.join(lines)}All done.\n{end}"


def _set_persistence(gpu: Gpu, wanted: str) -> str:
    need_root("set persistence mode", gpu)
    was = gpu.value("persistence_mode", "")
    gpu.modes["persistence"] = wanted
    if was == wanted:
        return f"Persistence mode is already {wanted} for GPU {gpu.bus}.\n"
    return f"{wanted} persistence mode for GPU {gpu.bus}.\n"


def _set_ecc(gpu: Gpu, wanted: str) -> str:
    if gpu.about["ecc.mode.current"] == UNKNOWN:
        raise EndError(3, f"Changing ECC mode is not supported for GPU: {gpu.bus}.\n")
    need_root(f"{wanted.lower()[:-1]} ECC support", gpu)
    was = gpu.value("ecc.mode.pending", "")
    gpu.kept["ecc"] = wanted
    if was == wanted:
        return f"ECC support is already {wanted} for GPU {gpu.bus}.\n"
    return f"{wanted} ECC support for GPU {gpu.bus}.\n"


def _set_mig(gpu: Gpu, wanted: str) -> str:
    verb, off = wanted.lower()[:-1], wanted == "Disabled"
    if gpu.mig() == UNKNOWN:
        what = f"Unable to {verb} MIG Mode for GPU {gpu.bus}: Not Supported\n"
        return f"{what}Treating as warning and moving on.\n"
    need_root(f"{verb} MIG Mode", gpu)
    forced = gpu.about.get("mig.forced") and off
    if forced or (gpu.instances() and off):
        why = "Insufficient Permissions" if forced else "In use by another client"
        what = f"Unable to disable MIG Mode for GPU {gpu.bus}: {why}\n"
        raise EndError(4 if forced else 19, f"{what}Terminating early due to previous errors.\n")
    gpu.modes["mig"] = wanted
    return f"{wanted} MIG Mode for GPU {gpu.bus}\n"


def _reset(smi: Smi, words: list[str]) -> str:
    chosen = smi.choose(words)
    for gpu in chosen:
        need_root("reset this GPU", gpu)
        gpu.modes.clear()
    smi.save()
    smi.apply()
    return "".join(f"GPU {g.bus} was successfully reset.\n" for g in chosen) + "All done.\n"


def _topology(smi: Smi) -> str:
    names = [f"GPU{gpu.index}" for gpu in smi.gpus]
    head = "\t".join(["", *names, "CPU Affinity", "NUMA Affinity", "GPU NUMA ID"])
    lines = [f"\x1b[4m{head}\x1b[0m\n"]
    each = max(1, len(names) // smi.sockets)
    for row, name in enumerate(names):
        near = [row // each == column // each for column in range(len(names))]
        cells = [smi.links["near" if is_near else "far"] for is_near in near]
        cells[row] = " X "
        lines.append("\t".join([name, *cells, "0-63", str(row // each), "N/A"]) + "\n")
    return "".join(lines) + _LEGEND


def _banner(smi: Smi) -> str:
    rule, text = f"+{'-' * 89}+\n", ""
    for gpu in smi.choose([]):
        about, ecc = gpu.about, gpu.value("ecc.mode.current", "")
        on = "On" if gpu.value("persistence_mode", "") == "Enabled" else "Off"
        memory = f"{about['memory.used']} / {about['memory.total']}"
        power = f"{about['power.draw']:>10} / {about['power.limit']:<10}"
        rows = (
            f"{gpu.index:>3}  {about['name'][:30]:<31}{on:>4} | {gpu.bus} Off |{ecc:>21} ",
            f"N/A {about['temperature.gpu']:>4}C  P0 {power} | {memory:>23} | Default ",
        )
        text += "".join(f"| {row:<88}|\n" for row in rows) + rule
    head = f"NVIDIA-SMI {smi.driver:<16} Driver Version: {smi.driver:<16} CUDA Version: {smi.cuda}"
    return f"{time.ctime()}\n{rule}| {head:<88}|\n{rule}{text}"


def _resolve(smi: Smi, names: str) -> str:
    """For the stand-in of nvidia-container-cli: numbers of nodes, then UUIDs, of *names*."""
    wanted = [gpu.uuid for gpu in smi.gpus] if names == "all" else names.split(",")
    found = [_find(smi, name) for name in wanted]
    nodes = dict.fromkeys(node for node, _ in found)
    return f"{' '.join(nodes)}\n{' '.join(uuid for _, uuid in found)}\n"


def _find(smi: Smi, name: str) -> tuple[str, str]:
    for gpu in smi.gpus:
        if name in {str(gpu.index), gpu.uuid}:
            return str(gpu.index), gpu.uuid
        for number, (_, uuid) in enumerate(gpu.slices() if gpu.mig() == "Enabled" else []):
            if name in {f"{gpu.index}:{number}", uuid}:
                return str(gpu.index), uuid
    raise EndError(1, f"nvidia-container-cli: device error: {name}: unknown device\n")


def _version(smi: Smi) -> str:
    short = ".".join(smi.driver.split(".")[:2])
    return (
        f"NVIDIA-SMI version  : {smi.driver}\nNVML version        : {short}\n"
        f"DRIVER version      : {smi.driver}\nCUDA Version        : {smi.cuda}\n"
    )


def _flags(smi: Smi, words: list[str]) -> str:
    for number, word in enumerate(words):
        name, _, value = word.partition("=")
        rest = words[:number] + words[number + 1 :]
        if name in {"-L", "--list-gpus"}:
            return _list_gpus(smi, rest)
        if name == "--query-gpu":
            return _query(smi, value.split(","), rest)
        if name.startswith("--query-"):
            return ""
        if name in {"-r", "--gpu-reset"}:
            return _reset(smi, rest)
        if name in _TOGGLES:
            if not value:
                value = rest.pop(number) if number < len(rest) else ""
            return _switch(smi, _TOGGLES[name], value, rest)
    raise EndError(2, _USAGE)


def _answer(words: list[str]) -> str:
    if words[:1] in (["-h"], ["--help"]):
        return "NVIDIA System Management Interface (a stand-in of the lab)\n"
    smi = Smi(boards.load_driver())
    if not words:
        return _banner(smi)
    if words[0] == "mig":
        import slices  # most calls do without it

        return slices.answer(smi, words[1:])
    if words[0] == "--lab-resolve":
        return _resolve(smi, words[1])
    one = {"topo": _topology, "--version": _version}.get(words[0])
    return one(smi) if one else _flags(smi, words)


def main(words: list[str]) -> int:
    """The exit status of ``nvidia-smi WORDS``."""
    try:
        sys.stdout.write(_answer(words))
        sys.stdout.flush()
    except EndError as end:
        sys.stdout.write(end.text)
        return end.code
    except (BrokenPipeError, KeyboardInterrupt):
        return 1
    return 0
