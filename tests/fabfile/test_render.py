"""`fab render`: what a person reads."""

from __future__ import annotations

import json
import os
import socket
import subprocess

import pytest
from invoke.context import Context

from fabfile.render import render

IN_CONTAINER = ["launcher=docker_run", "engine.container.image=r.io/a:1"]


def test_the_command_can_be_read_and_copied(capsys: pytest.CaptureFixture[str]) -> None:
    """A line an option, quoted; then each file under its path; the key is nowhere."""
    render(Context(), recipe="rehearsal", set_=IN_CONTAINER)
    shown = capsys.readouterr().out
    assert shown.startswith("# rehearsal: simulator by docker_run\n")
    assert "\ndocker run --detach \\\n    --publish '127.0.0.1:{port}:8000' \\\n" in shown
    assert "\n==> /WORKDIR/engines/RUN/engine.sh (mode 0700)\n#!/bin/sh\n" in shown
    assert "\n==> /WORKDIR/engines/RUN/env (mode 0600)\nVLLM_API_KEY=[REDACTED]\n" in shown


def test_as_json_it_is_a_list_of_engines(capsys: pytest.CaptureFixture[str]) -> None:
    """One for each variant of the recipe."""
    render(Context(), recipe="rehearsal", set_=IN_CONTAINER, json=True)
    (one,) = json.loads(capsys.readouterr().out)
    assert ("rehearsal", ["docker", "run", "--detach"]) == (one["recipe"], one["command"][0])


def test_neither_a_host_nor_pulumi_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs no stack."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr(subprocess, "Popen", refused)
    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(os, "fork", refused)
    render(Context(), recipe="rehearsal", set_=IN_CONTAINER)


def test_without_a_recipe_those_that_there_are_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing is shown."""
    with pytest.raises(SystemExit, match="2"):
        render(Context())
    said = capsys.readouterr()
    assert ("", True) == (said.out, "rehearsal" in said.err)


def test_a_rehearsal_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The simulator in the place of the engine, by the recipe's own launcher."""
    render(Context(), recipe="g4-qwen3-32b-fp8:1gpu", rehearse=True)
    shown = capsys.readouterr().out
    assert shown.startswith("# g4-qwen3-32b-fp8:1gpu: simulator by docker_run\n")
