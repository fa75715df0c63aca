"""What Docker prints when it fails, in one sentence."""

from __future__ import annotations

import pytest

from provisioning import docker_trouble

GET = 'Error response from daemon: Get "https://registry.lab:5000/v2/": '


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (
            "Error response from daemon: manifest for x:9 not found: manifest unknown: x",
            "(manifest",
        ),
        ("Error response from daemon: manifest unknown: manifest unknown", "(manifest unknown)"),
        ("docker.io/library/x:9: not found", "(manifest unknown)"),
        (f"{GET}x509: certificate signed by unknown authority", "not trusted (x509)"),
        (f"{GET}http: server gave HTTP response to HTTPS client", "speaks plain HTTP"),
        (f"{GET}tls: first record does not look like a TLS handshake", "speaks plain HTTP"),
        (f"{GET}dial tcp: lookup registry.lab on 1.1.1.1:53: no such host", "cannot be reached"),
        (f"{GET}dial tcp 10.0.0.1:5000: connect: connection refused", "cannot be reached"),
        (f"{GET}net/http: request canceled (Client.Timeout exceeded)", "cannot be reached"),
        (f"{GET}EOF", "cannot be reached"),
        (
            (
                "Error response from daemon: pull access denied for x, repository does not exist "
                "or may require 'docker login': denied: requested access to the resource is denied"
            ),
            "no such image, or does not give it",
        ),
        (
            "no matching manifest for linux/arm64/v8 in the manifest list entries",
            "no build for this machine's kind of processor",
        ),
        (
            "failed to register layer: write /x: no space left on device",
            "there is no space left for it",
        ),
        ("toomanyrequests: You have reached your pull rate limit.", "too many requests"),
        ("Cannot connect to the Docker daemon at unix:///x.", "Docker's server does not answer"),
    ],
)
def test_a_pull_that_fails_is_explained(said: str, what: str) -> None:
    """The image by name, the reason in our words, and advice."""
    found = docker_trouble.of_pull(f"layers\nfailed r:5000/x:9: {said}\n")
    assert found is not None
    assert found[0].startswith("The image r:5000/x:9 cannot be pulled: ")
    assert what in found[0]
    assert found[1].endswith(".")


def test_a_reason_nobody_knows_is_told_as_it_is() -> None:
    """Rather than nothing."""
    found = docker_trouble.of_pull("failed x:1: Error response from daemon: the moon is full.\n")
    assert ("The image x:1 cannot be pulled: the moon is full.") == (found or ("",))[0]


def test_what_is_no_failed_pull_is_not_explained() -> None:
    """The command's own error is told instead."""
    assert None is docker_trouble.of_pull("sh: setsid: not found")


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (
            (
                'docker: Error response from daemon: could not select device driver "" with '
                "capabilities: [[gpu]]."
            ),
            "was started before the toolkit was there",
        ),
        ("docker: Error response from daemon: unknown or invalid runtime name: nvidia.", "started"),
        (
            'exec: "nvidia-container-runtime-hook": executable file not found in $PATH: unknown.',
            "A part of NVIDIA's toolkit is missing",
        ),
        (
            "nvidia-container-cli: initialization error: nvml error: driver not loaded: unknown.",
            "does not find the driver",
        ),
        ("nvidia-container-cli: device error: 1: unknown device: unknown.", "Fewer GPUs"),
        ("unresolvable CDI devices nvidia.com/gpu=1: unknown.", "Fewer GPUs"),
        (
            'failed to create task: exec: "nvidia-smi": executable file not found in $PATH',
            "nvidia-smi is not in it",
        ),
    ],
)
def test_a_container_without_gpus_is_explained(said: str, what: str) -> None:
    """A sentence that begins and ends as one."""
    found = docker_trouble.of_run(said)
    assert found is not None
    assert what in found[0]
    assert (True, True) == (found[0][0].isupper(), found[0].endswith("."))


def test_a_container_that_fails_otherwise_is_not_explained() -> None:
    """The command's own error is told instead."""
    assert None is docker_trouble.of_run("segmentation fault")


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (
            (
                "Started x\n"
                "unable to configure the Docker daemon with file /etc/docker/daemon.json: "
                "the following directives don't match any configuration option: dataroot\n"
                "docker.service: Main process exited, code=exited, status=1/FAILURE\n"
            ),
            "the following directives don't match any configuration option: dataroot.",
        ),
        (
            (
                "failed to start daemon: an older reason\n"
                'level=info msg="Starting up"\nfailed to start daemon: Error initializing network '
                "controller: iptables not found\n"
            ),
            "Error initializing network controller: iptables not found.",
        ),
    ],
)
def test_a_server_that_does_not_start_is_told_in_its_own_words(said: str, what: str) -> None:
    """The last of its words that say why."""
    found = docker_trouble.of_start(said)
    assert found is not None
    assert found[0].startswith("Docker's server does not start: ")
    assert found[0].endswith(what)
    assert None is docker_trouble.of_start("Unit docker.service is masked.")
