"""The file `activate`: what a shell needs so that the plain commands work as written."""

from __future__ import annotations

import shlex
from pathlib import Path

from tools.setup import backend
from tools.setup.steps import Say

_TEMPLATE = """\
# Written by `make setup`, for sh, bash, dash and zsh:   source ./activate
# `deactivate_dyno` takes everything back.
command -v deactivate_dyno >/dev/null 2>&1 && deactivate_dyno

_dyno_set() { # NAME VALUE: export it, and remember what was there
  eval "_dyno_had_$1=\\${$1+yes} _dyno_was_$1=\\${$1-}"
  _dyno_names="$1 $_dyno_names"
  export "$1=$2"
}

_dyno_login() { # a Pulumi backend of the person's own is never overridden
  [ "${PULUMI_BACKEND_URL-}" = @URL@ ] && return 1
  [ -n "${PULUMI_ACCESS_TOKEN-}${PULUMI_BACKEND_URL-}" ] ||
    grep -Eqs '"current" *: *"[^"]+"' \\
      "${PULUMI_CREDENTIALS_PATH:-${PULUMI_HOME:-$HOME/.pulumi}}/credentials.json"
}

deactivate_dyno() {
  while [ -n "$_dyno_names" ]; do
    _dyno_name=${_dyno_names%% *}
    _dyno_names=${_dyno_names#* }
    eval "_dyno_had=\\$_dyno_had_$_dyno_name _dyno_was=\\$_dyno_was_$_dyno_name"
    unset "_dyno_had_$_dyno_name" "_dyno_was_$_dyno_name" "$_dyno_name"
    [ -z "$_dyno_had" ] || export "$_dyno_name=$_dyno_was"
  done
  unset _dyno_name _dyno_names _dyno_had _dyno_was
  unset -f _dyno_set _dyno_login deactivate_dyno
}

_dyno_names=
_dyno_set PATH @PATH@:"$PATH"
if _dyno_login; then
  echo "llm-dyno: your own Pulumi login is used (pulumi stack init NAME makes a stack there)" >&2
else
  _dyno_set PULUMI_CONFIG_PASSPHRASE ''
  unset PULUMI_CONFIG_PASSPHRASE
@SETTINGS@
fi
"""


def text(checkout: Path, *, own_engine: bool) -> str:
    """What `activate` says in a checkout, with or without an engine in .tools/bin."""
    settings = backend.settings(checkout)
    folders = [checkout / ".venv" / "bin", *([checkout / ".tools" / "bin"] * own_engine)]
    lines = (f"  _dyno_set {name} {shlex.quote(value)}" for name, value in settings.items())
    return (
        _TEMPLATE.replace("@URL@", shlex.quote(settings["PULUMI_BACKEND_URL"]))
        .replace("@PATH@", shlex.quote(":".join(map(str, folders))))
        .replace("@SETTINGS@", "\n".join(lines))
    )


def write(checkout: Path, *, own_engine: bool, say: Say) -> None:
    """The file is there and up to date."""
    path = checkout / "activate"
    wanted = text(checkout, own_engine=own_engine)
    if path.exists() and path.read_text() == wanted:
        say("source ./activate")
        return
    path.write_text(wanted)
    say("written: source ./activate")
