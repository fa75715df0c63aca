"""An engine as a unit of the host's systemd: it has limits of its own, and the journal its words.

The unit is one of the system's, for which our user needs sudo, and runs as our user. Its file lies
in ``/run/systemd/system``: so it outlives our login and whoever started it, a reload of systemd
and its update, but no boot. A run that a boot has cut is over, and its engine must not come back
by itself. A unit that `systemd-run` makes would live as long; a file can be read and rendered.
"""

from __future__ import annotations

import re

from provisioning.command import Secret
from provisioning.engines.base import PORT, ProcessSpec
from provisioning.errors import UsageError
from provisioning.launchers.base import File, Runs, key_file, script
from provisioning.render import render

RUNS: Runs = "process"
UNIT = "engine.service"
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")
_ESCAPED = {'"': r"\"", "\\": r"\\", "\n": r"\n", "\t": r"\t", "\r": r"\r", "%": "%%", "$": "$$"}
#: systemd's words for ours.
_RESTART = {"unless-stopped": "always"}


def files(spec: ProcessSpec, run_id: str) -> tuple[File, ...]:
    """What is written to the host; see `Launcher.files`."""
    sent = script("systemd.sh.j2", spec, run_id, unit_file=UNIT)
    return (sent, _unit(spec, run_id), environment(spec), *key_file(spec))


def word(text: str) -> str:
    """*text* as one word of ``ExecStart=``, whatever it holds.

    Raises:
        UsageError: it holds what no argument can.
    """
    if _PLAIN.fullmatch(text):
        return text
    return f'"{"".join(map(_escaped, _possible(text)))}"'


def environment(spec: ProcessSpec) -> File:
    """The engine's own environment for ``EnvironmentFile=``, secrets revealed."""
    values = dict(spec.env) | {k: v.reveal() for k, v in spec.secret_env.items()}
    text = "".join(f"{name}={_value(value)}\n" for name, value in values.items())
    return File("env", Secret(text))


def _unit(spec: ProcessSpec, run_id: str) -> File:
    text = render(
        "systemd.service.j2",
        engine=spec.engine,
        run_id=run_id,
        words=["${DYNO_PORT}" if each == PORT else word(each) for each in spec.argv],
        restart=_RESTART.get(spec.restart, spec.restart),
        stop_ms=max(1, round(spec.stop_grace_s * 1000)),  # 0 would be for ever
        limits={
            name.upper(): "infinity" if value == "unlimited" else value
            for name, value in spec.limits.items()
        },
    )
    return File(UNIT, text)


def _escaped(letter: str) -> str:
    return _ESCAPED.get(letter) or (letter if letter.isprintable() else _hexadecimal(letter))


def _hexadecimal(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in letter.encode())


def _value(text: str) -> str:
    """In double quotes line ends stand for themselves, and four characters are escaped."""
    return '"' + re.sub(r'(["\\`$])', r"\\\1", _possible(text)) + '"'


def _possible(text: str) -> str:
    try:
        if b"\0" not in text.encode():
            return text
    except UnicodeEncodeError:
        pass
    raise UsageError(
        f"{text!r} can be neither an argument nor in an environment: it is no text of UTF-8 "
        "without NUL.",
        "Correct the recipe.",
    )
