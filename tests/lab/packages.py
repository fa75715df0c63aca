"""How this machine reaches its distribution's packages, to be told to the lab hosts.

Read when a host is built or started, never written down in the project.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from pathlib import Path

from tests.lab.machine import LabError

_FORMAT = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(CODENAME)"
_OWN = ("Debian", "Ubuntu")
_SETTINGS = re.compile(r"^Acquire::(https?::.*|Check-.*|Languages::|Retries) \"[^\"]+\";$")
_KEYRINGS = {
    "Debian": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "Ubuntu": "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
}

#: Where this machine's owner put certificates beside the usual ones.
AUTHORITIES = Path("/usr/local/share/ca-certificates")


@functools.cache
def _targets() -> list[list[str]]:
    argv = ["apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages"]
    text = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    rows = [line.split("|") for line in text.splitlines()]
    return [row for row in rows if row[0] in _OWN]


def sources() -> str:
    """The lines of a sources.list for the distribution's own packages.

    Raises:
        LabError: this machine has no package lists of Debian's or Ubuntu's.
    """
    targets = _targets()
    if not targets:
        subprocess.run(["apt-get", "update", "-qq"], capture_output=True, check=False)
        _targets.cache_clear()
        targets = _targets()
    if not targets:
        raise LabError("this machine's apt knows no archive of Debian or Ubuntu")
    signed = f"[signed-by={_KEYRINGS[targets[0][0]]}]"
    lines = {f"deb {signed} {uri} {suite} {part}": None for _, uri, suite, part, _ in targets}
    return "\n".join(lines) + "\n"


def codename() -> str:
    """The release that the sources are of, such as ``bookworm``."""
    sources()
    return min((target[4] for target in _targets()), key=len)


def settings() -> str:
    """What this machine's apt is told of proxies, dates and languages, as lines of an apt.conf."""
    argv = ["apt-config", "dump"]
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return "".join(f"{line}\n" for line in text.splitlines() if _SETTINGS.match(line))


def authorities() -> list[Path]:
    """Certificates that this machine's owner added to the usual ones."""
    return sorted(AUTHORITIES.glob("*.crt"))


def environment() -> str:
    """Lines of /etc/environment: by what variables programs find certificates here."""
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "PIP_CERT")
    return "".join(f"{name}={os.environ[name]}\n" for name in names if os.environ.get(name))
