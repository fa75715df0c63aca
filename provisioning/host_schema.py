"""What a recipe asks of its host. Every key, with its bounds; the defaults ask for nothing."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from provisioning.recipe_values import Count, Strict

#: From where a thing is installed. `vendor`: its maker's own archive; `distribution`: the host's
#: own packages; `present`: nothing is installed, it must be there.
Source = Literal["vendor", "mirror", "distribution", "present"]


def _url(value: str) -> str:
    if not value.startswith(("http://", "https://")) or any(c.isspace() for c in value):
        raise ValueError("should be an http:// or https:// address")
    return value.rstrip("/")


Url = Annotated[str, AfterValidator(_url)]
Requirement = Annotated[str, Field(pattern=r"^[A-Za-z0-9./][^\x00-\x1f\x7f]*$")]
Package = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]*$")]
Size = Annotated[float, Field(ge=0, le=1_000_000)]


def _limit(value: Any) -> Any:
    number = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63
    if not number and value != "unlimited":
        raise ValueError("must be `unlimited`, or a whole number above 0")
    return value


Limit = Annotated[str | int, BeforeValidator(_limit)]


class Mirror(Strict):
    """A package archive in place of the maker's own."""

    url: Url = Field(description="Where it is.")
    suite: str = Field(default="./", pattern=r"^\S+$", description="Suite; `./` for a flat one.")
    components: list[str] = Field(default_factory=list, description="Components, of a suite.")
    key: str | None = Field(
        default=None, description="Path of its public key (ASCII armour), beside the recipe."
    )
    trusted: bool = Field(default=False, description="Take it without a signature.")


class Install(Strict):
    """Where a thing comes from, and which version."""

    source: Source = Field(
        default="vendor", description="`vendor`, `mirror`, `distribution` or `present`."
    )
    mirror: Mirror | None = Field(default=None, description="The archive, for source `mirror`.")
    version: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9.+:~-]+$", description="Version; else what there is."
    )


class Docker(Install):
    """Docker's engine."""

    compose: Literal["none", "any", "plugin", "standalone"] = Field(
        default="none", description="Compose: either kind, `docker compose` or `docker-compose`."
    )
    insecure_registries: list[str] = Field(
        default_factory=list, description="Registries that are spoken to without TLS."
    )


class Toolkit(Install):
    """NVIDIA Container Toolkit."""

    mode: Literal["auto", "legacy", "cdi"] | None = Field(
        default=None, description="How its runtime gives GPUs to containers; default: left as is."
    )


class Driver(Strict):
    """NVIDIA's driver."""

    at_least: str | None = Field(
        default=None,
        pattern=r"^\d+(\.\d+)*$",
        description="Oldest that will do; never below the floor of the GPU's generation.",
    )
    install: Package | None = Field(
        default=None, description="Package to install where it is missing or too old."
    )
    source: Literal["vendor", "mirror", "distribution"] = Field(
        default="vendor", description="From where: `vendor`, `mirror` or `distribution`."
    )
    mirror: Mirror | None = Field(default=None, description="The archive, for source `mirror`.")


class Gpu(Strict):
    """The GPUs, and how they are to be set."""

    count: Count | None = Field(
        default=None, description="How many at least; default: the stack's."
    )
    driver: Driver = Field(default_factory=Driver, description="NVIDIA's driver.")
    persistence: bool = Field(default=True, description="Persistence mode is on.")
    ecc: bool | None = Field(default=None, description="Memory with error correction, or without.")
    mig: str | None = Field(
        default=None,
        pattern=r"^\d+g\.\d+gb$",
        description="One MIG slice of this profile, such as 4g.96gb, on each GPU.",
    )
    p2p_check: bool = Field(
        default=False, description="All GPUs reduce together before the engine is started."
    )


class DataDisk(Strict):
    """A disk beside the boot disk, for images, models and results."""

    mount: str | None = Field(
        default=None, pattern=r"^/\S+$", description="Folder; default: the stack's."
    )
    filesystem: Literal["ext4", "xfs"] = Field(
        default="ext4", description="What a blank disk gets; one with anything on it is kept."
    )
    join_nvme: bool = Field(
        default=False, description="The machine's own NVMe disks, all blank, become one array."
    )


class PythonPackages(Strict):
    """A virtual environment on the host, made by uv."""

    packages: list[Requirement] = Field(min_length=1, description="Requirements, pinned.")
    python: str | None = Field(default=None, pattern=r"^3\.\d+$", description="Python's version.")
    index_url: Url | None = Field(default=None, description="Package index; default: uv's own.")
    overrides: list[Requirement] = Field(
        default_factory=list,
        description="Requirements in the place of what packages ask of each other.",
    )
    aliases: dict[Package, Annotated[str, Field(pattern=r"^[0-9][0-9a-z.+!]*$")]] = Field(
        default_factory=dict,
        description="Names, each with a version, that are to count as installed: for what looks "
        "itself up under another name than its package has.",
    )


class HostNeeds(Strict):
    """What the host is to be before the engine is started."""

    gpu: Gpu | None = Field(default=None, description="GPUs and their driver.")
    data_disk: DataDisk | None = Field(default=None, description="A disk for data.")
    packages: list[Package] = Field(default_factory=list, description="Further Debian packages.")
    docker: Docker | None = Field(default=None, description="Docker.")
    toolkit: Toolkit | None = Field(default=None, description="NVIDIA Container Toolkit.")
    images: list[str] = Field(default_factory=list, description="Container images to pull.")
    python: PythonPackages | None = Field(default=None, description="A virtual environment.")
    limits: dict[Literal["memlock", "nofile", "stack"], Limit] = Field(
        default_factory=dict,
        description="Limits of processes, in bytes (`nofile`: files); `unlimited`, or a number.",
    )
    sysctl: dict[Annotated[str, Field(pattern=r"^[a-z0-9_./-]+$")], str | int] = Field(
        default_factory=dict, description="Kernel settings."
    )
    hugepages: dict[Literal["2048kB", "1048576kB"], Count] = Field(
        default_factory=dict, description="Huge pages to reserve, by their size."
    )
    time_sync: bool = Field(default=False, description="The clock is kept by a time service.")
    free_disk_gb: Size = Field(default=0.0, description="Space that must be free for data.")
    memory_gb: Size = Field(default=0.0, description="Memory the host must have.")
