"""``nvidia-smi mig …``: profiles, GPU instances, compute instances."""

from __future__ import annotations

from typing import Any

from boards import EndError, Gpu, Smi, need_root

_NO_ROOM = "Insufficient Resources"
_IN_USE = "In use by another client"
_PROFILES = (
    "GPU instance profiles:",
    "GPU   Name               ID    Instances   Memory     P2P    SM    DEC   ENC",
    "                               Free/Total   GiB              CE    JPEG  OFA",
)
_INSTANCES = (
    "GPU instances:",
    "GPU   Name               Profile  Instance   Placement",
    "                           ID       ID       Start:Size",
)


def answer(smi: Smi, words: list[str]) -> str:
    """What is printed for ``mig WORDS``; what they ask is done.

    Raises:
        EndError: it cannot be done.
    """
    chosen = [gpu for gpu in smi.choose(words) if gpu.mig() == "Enabled"]
    if not chosen:
        raise EndError(6, "No MIG-enabled devices found.\n")
    action, _, value = words[0].partition("=") if words else ("", "", "")
    if action in {"-lgip", "--list-gpu-instance-profiles"}:
        return _table(79, _PROFILES, [_profile(g, p) for g in chosen for p in _profiles(g)])
    if action in {"-lgi", "--list-gpu-instances", "-lci", "--list-compute-instances"}:
        return _list(chosen)
    need_root("change MIG devices", chosen[0])
    if action in {"-cgi", "--create-gpu-instance"}:
        names = (value or words[1]).split(",")
        text = "".join(_create(g, n, compute="-C" in words) for g in chosen for n in names)
    elif action in {"-cci", "--create-compute-instance"}:
        text = "".join(_set_compute(gpu, wanted=True) for gpu in chosen)
    elif action in {"-dci", "--destroy-compute-instance"}:
        text = "".join(_set_compute(gpu, wanted=False) for gpu in chosen)
    elif action in {"-dgi", "--destroy-gpu-instance"}:
        text = "".join(_destroy(gpu) for gpu in chosen)
    else:
        raise EndError(2, f"Option {action} is not recognized. Please run 'nvidia-smi mig -h'.\n")
    smi.save()
    return text


def _profiles(gpu: Gpu) -> list[dict[str, Any]]:
    return sorted(gpu.about["profiles"], key=lambda profile: int(profile["slices"]))


def _about(gpu: Gpu, name: str) -> dict[str, Any] | None:
    for profile in gpu.about["profiles"]:
        if name in {str(profile["id"]), profile["name"], f"MIG {profile['name']}"}:
            found: dict[str, Any] = profile
            return found
    return None


def _used(gpu: Gpu) -> int:
    sizes = {profile["name"]: int(profile["slices"]) for profile in gpu.about["profiles"]}
    return sum(sizes[item["profile"]] for item in gpu.instances())


def _free(gpu: Gpu, profile: dict[str, Any]) -> int:
    """How many more instances of *profile* there is room for."""
    whole = max(int(one["slices"]) for one in gpu.about["profiles"])
    return (whole - _used(gpu)) // int(profile["slices"])


def _table(width: int, head: tuple[str, ...], rows: list[str]) -> str:
    rule = f"+{'-' * width}+\n"
    top = "".join(f"| {line:<{width - 1}}|\n" for line in head)
    body = "".join(f"| {row:<{width - 1}}|\n{rule}" for row in rows)
    return f"{rule}{top}|{'=' * width}|\n{body}"


def _profile(gpu: Gpu, profile: dict[str, Any]) -> str:
    room, slices = f"{_free(gpu, profile)}/{profile['total']}", int(profile["slices"])
    return (
        f"  {gpu.index}  MIG {profile['name']:<16}{profile['id']:>3}   {room:>5}       "
        f"{profile['memory_gib']:<11.2f}No   {profile['sm']:>4}   {slices:>3}   {slices:>3}"
    )


def _list(chosen: list[Gpu]) -> str:
    rows = []
    for gpu in chosen:
        for item in gpu.instances():
            about = _about(gpu, item["profile"]) or {}
            name, place = item["profile"], f"{item['start']}:{about['slices']}"
            ids = f"{about['id']:>4}     {item['id']:>4}"
            rows.append(f"  {gpu.index}  MIG {name:<15}{ids}          {place}")
    if not rows:
        raise EndError(6, "No GPU instances found: Not Found\n")
    return _table(57, _INSTANCES, rows)


def _create(gpu: Gpu, name: str, *, compute: bool) -> str:
    about = _about(gpu, name)
    if about is None:
        raise EndError(2, f"Invalid argument: {name} is not a GPU instance profile\n")
    if not _free(gpu, about):
        what = f"Unable to create a GPU instance on GPU {gpu.index:2} using profile {about['id']}"
        raise EndError(19, f"{what}: {_NO_ROOM}\nFailed to create GPU instances: {_NO_ROOM}\n")
    taken = {item["id"] for item in gpu.instances()}
    number = next(n for n in range(16) if n not in taken)
    made = {"id": number, "profile": about["name"], "compute": compute, "start": _used(gpu)}
    gpu.instances().append(made)
    text = (
        f"Successfully created GPU instance ID {number:2} on GPU {gpu.index:2} using profile "
        f"MIG {about['name']} (ID {about['id']:2})\n"
    )
    return text + (_created(gpu, made) if compute else "")


def _created(gpu: Gpu, item: dict[str, Any]) -> str:
    return (
        f"Successfully created compute instance ID  0 on GPU {gpu.index:2} GPU instance ID "
        f"{item['id']:2} using profile MIG {item['profile']} (ID  0)\n"
    )


def _set_compute(gpu: Gpu, *, wanted: bool) -> str:
    changed = [item for item in gpu.instances() if item["compute"] != wanted]
    if not changed and wanted:
        raise EndError(19, f"Failed to create compute instances: {_NO_ROOM}\n")
    if not changed:
        raise EndError(6, "No compute instances found: Not Found\n")
    for item in changed:
        item["compute"] = wanted
    if wanted:
        return "".join(_created(gpu, item) for item in changed)
    return "".join(
        f"Successfully destroyed compute instance ID  0 from GPU {gpu.index:2} "
        f"GPU instance ID {item['id']:2}\n"
        for item in changed
    )


def _destroy(gpu: Gpu) -> str:
    there = list(gpu.instances())
    if not there:
        raise EndError(6, "No GPU instances found: Not Found\n")
    for item in there:
        if item["compute"]:
            what = f"Unable to destroy GPU instance ID {item['id']:2} from GPU {gpu.index:2}"
            raise EndError(19, f"{what}: {_IN_USE}\nFailed to destroy GPU instances: {_IN_USE}\n")
    gpu.instances().clear()
    return "".join(
        f"Successfully destroyed GPU instance ID {item['id']:2} from GPU {gpu.index:2}\n"
        for item in there
    )
