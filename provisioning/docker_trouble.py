"""Known failures of Docker: what it prints, what that means, what to do."""

from __future__ import annotations

import re

_UNREACHABLE = (
    r"no such host|connection refused|i/o timeout|network is unreachable|no route to host"
    r"|Temporary failure|server misbehaving|TLS handshake timeout|deadline exceeded"
    r"|Client\.Timeout|connection reset|request canceled|\bEOF\b"
)
_RULES = (
    (
        r"could not select device driver|unknown or invalid runtime name|Unknown runtime specified",
        "Docker does not know NVIDIA's toolkit: it was started before the toolkit was there",
        "Restart it on the host (`sudo systemctl restart docker`) when no container is in use.",
    ),
    (
        r"nvidia-container-runtime-hook.*not found|nvidia-container-runtime.*not found",
        "A part of NVIDIA's toolkit is missing where Docker looks for it",
        "Install nvidia-container-toolkit as a whole on the host.",
    ),
    (
        r"driver not loaded|nvml error|libnvidia-ml|ERROR_LIBRARY_NOT_FOUND",
        "NVIDIA's toolkit does not find the driver",
        "See that `nvidia-smi` works on the host; after an update of the driver, reboot it.",
    ),
    (
        r"unknown device|unresolvable CDI devices",
        "Fewer GPUs can be given to a container than are asked for",
        "Compare `nvidia-smi -L` on the host with what the recipe asks for.",
    ),
    (
        r"no matching manifest for",
        "it has no build for this machine's kind of processor",
        "Name an image that was built for it (arm64 on a DGX Spark).",
    ),
    (
        r"manifest unknown|manifest for \S+ not found|not found: manifest|: not found$",
        "its registry has no such tag or digest (manifest unknown)",
        "Check the image's name, tag and digest in the recipe.",
    ),
    (
        r"access denied|repository does not exist|unauthorized|authentication required|denied:",
        "its registry has no such image, or does not give it to everybody",
        "Check its name; for a private one, run `docker login` on the host.",
    ),
    (
        r"x509|certificate",
        "the certificate of its registry is not trusted (x509)",
        "Put its authority into /etc/docker/certs.d/<registry>/ca.crt on the host.",
    ),
    (
        r"server gave HTTP response to HTTPS client|first record does not look like a TLS",
        "its registry speaks plain HTTP",
        "Name the registry in `host.docker.insecure_registries` of the recipe.",
    ),
    (
        r"no space left on device",
        "there is no space left for it",
        "Free space with `docker image prune` on the host, or ask for a data disk.",
    ),
    (
        r"toomanyrequests|rate limit",
        "its registry has had too many requests from this address",
        "Wait, log in with `docker login` on the host, or use a mirror.",
    ),
    (
        _UNREACHABLE,
        "its registry cannot be reached from the host",
        "Check the name of the registry and the host's way out to it.",
    ),
    (
        r"Cannot connect to the Docker daemon|permission denied while trying to connect",
        "Docker's server does not answer",
        "Look at `sudo journalctl -u docker` on the host.",
    ),
)
_SAID = "Error response from daemon: "
_FAILED = re.compile(r"^failed (\S+): (.*)$", re.MULTILINE)
_DAEMON = re.compile(
    r"^.*?(unable to configure the Docker daemon with file .*|failed to start daemon: .*"
    r"|failed to load listeners: .*|error (?:initializing|loading) .*)$",
    re.MULTILINE,
)


def known(text: str) -> tuple[str, str] | None:
    """What *text* of Docker means, as part of a sentence, and what to do."""
    for pattern, what, advice in _RULES:
        if re.search(pattern, text, re.MULTILINE | re.IGNORECASE):
            return what, advice
    return None


def of_pull(text: str) -> tuple[str, str] | None:
    """Why an image could not be pulled, from lines ``failed IMAGE: why``."""
    found = _FAILED.search(text)
    if found is None:
        return None
    own = found[2].removeprefix(_SAID).rstrip(".")
    what, advice = known(found[2]) or (own, "Try `docker pull` on the host.")
    return f"The image {found[1]} cannot be pulled: {what}.", advice


def of_run(text: str) -> tuple[str, str] | None:
    """Why a container did not see the GPUs."""
    if re.search(r'exec: "nvidia-smi": executable file not found', text):
        return (
            "The container was given no driver: nvidia-smi is not in it.",
            "Check `nvidia-ctk config` on the host: it is to give `utility` to containers.",
        )
    found = known(text)
    return (f"{found[0][:1].upper()}{found[0][1:]}.", found[1]) if found else None


def of_start(text: str) -> tuple[str, str] | None:
    """Why Docker's server does not start, in its own words."""
    found = list(_DAEMON.finditer(text))
    if not found:
        return None
    why = found[-1][1].strip().strip('"').replace('\\"', '"').rstrip(".")
    return (
        f"Docker's server does not start: {why}.",
        "Put /etc/docker/daemon.json right on the host, or look at `sudo journalctl -u docker`.",
    )
