"""A checkout and programs for the tests of the set-up, made of a few lines of shell."""

from __future__ import annotations

from pathlib import Path

from tools.setup import engine

GO_MOD = "module x\n\nrequire github.com/pulumi/pulumi/pkg/v3 v3.250.0\n"

#: Makes the four programs of an engine in the folder $1.
MAKE_ENGINE = """\
mkdir -p "$1"
printf '#!/bin/sh\\necho v3.250.0\\n' > "$1/pulumi"
for name in pulumi-language-python pulumi-language-python-exec pulumi-resource-pulumi-python; do
  printf '#!/bin/sh\\n' > "$1/$name"
done
chmod +x "$1"/*
"""


def program(path: Path, body: str) -> Path:
    """An executable shell script at *path*."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def whole_engine(folder: Path, version: str = "v3.250.0") -> Path:
    """The four programs of an engine in *folder*; its pulumi answers *version*."""
    for name in engine.PROGRAMS:
        program(folder / name, f"echo {version}" if name == "pulumi" else "")
    return folder


def checkout(folder: Path) -> Path:
    """As much of a checkout as the set-up looks at."""
    for name in ("engine", "language-python"):
        module = folder / "tools" / "pulumi" / name
        module.mkdir(parents=True)
        (module / "go.mod").write_text(GO_MOD)
    (folder / "Pulumi.yaml").write_text("name: llm-dyno\nruntime: python\nstackConfigDir: stacks\n")
    (folder / "stacks" / "presets").mkdir(parents=True)
    for name in ("local", "existing"):
        (folder / "stacks" / "presets" / f"{name}.yaml").write_text("cloud: local\n")
    return folder
