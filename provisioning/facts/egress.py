"""Whether the host reaches addresses outside."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact

_TIMEOUT_S = 5
# Python, for it is there, and knows of proxies as the downloaders do. Any answer will do. What is
# no web address is connected to only: Docker's server knows proxies and certificates of its own.
_PROGRAM = f"""
import socket, sys, threading, urllib.error, urllib.request
said = {{}}
def reach(url):
    try:
        if url.startswith("tcp://"):
            host, _, port = url[6:].rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), {_TIMEOUT_S}).close()
        else:
            asked = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(asked, timeout={_TIMEOUT_S})
    except urllib.error.HTTPError:
        pass
    except Exception as error:
        said[url] = str(getattr(error, "reason", None) or error) or type(error).__name__
        return
    said[url] = ""
threads = [threading.Thread(target=reach, args=(url,), daemon=True) for url in sys.argv[1:]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join({2 * _TIMEOUT_S})
for url in sys.argv[1:]:
    reason = said.get(url, "timed out")
    print("no" if url not in said or reason else "yes", url, " ".join(reason.split()))
"""
_ASK = r"""
lines='
'
# Is any of these paths (a line each, with * in them) there?
there() (
  IFS=$lines
  for path in $1; do [ ! -e "$path" ] || return 0; done
  return 1
)
pulled() {
  docker image inspect "$1" >/dev/null 2>&1 ||
    { [ "$(id -u)" != 0 ] && sudo -n docker image inspect "$1" >/dev/null 2>&1; }
}
# Does somebody's setting lead there by another way?
led() {
  case $1 in
    tcp://*)
      grep -qsiE '^[^#]*(proxy|proxies|registry-mirrors)' /etc/docker/daemon.json \
        /etc/default/docker /etc/systemd/system/docker.service.d/*.conf ;;
    *) return 1 ;;
  esac
}
urls=
while [ $# -ge 3 ]; do
  there "$2" || { [ -n "$3" ] && pulled "$3"; } || led "$1" || urls="$urls$lines$1"
  shift 3
done
[ -n "$urls" ] && command -v python3 >/dev/null || exit 0
IFS=$lines
set -f
printf %s "$PROGRAM" | python3 -I -S - $(printf %s "$urls" | sort -u) 2>&1 || :
"""


@dataclass(frozen=True)
class Way:
    """A way out: to a web address, or only to a port (``tcp://HOST:PORT``).

    Nobody needs it while one of the paths `unless` (with ``*`` in them) is there, or the container
    image `image` is: what was to be fetched is here.
    """

    url: str
    unless: tuple[str, ...] = ()
    image: str = ""


@dataclass(frozen=True)
class Egress(Fact[dict[str, str]]):
    """Why addresses cannot be reached from the host, by address; no word of those that can.

    All `ways` that are needed are tried at once.
    """

    ways: tuple[Way, ...]

    @property
    def command(self) -> Command:
        """Ask for the head of each, or connect."""
        # A name that nobody resolves is not to take a minute.
        env = {"PROGRAM": _PROGRAM, "RES_OPTIONS": "timeout:3 attempts:1"}
        given = [part for way in self.ways for part in (way.url, "\n".join(way.unless), way.image)]
        urls = ", ".join(dict.fromkeys(way.url for way in self.ways))
        return Command.shell(_ASK, *given, env=env, shown=f"see whether {urls} can be reached")

    def parse(self, stdout: str) -> dict[str, str]:
        """Read lines of ``no``, an address and the reason; others are no trouble."""
        lines = (line.split(" ", 2) for line in stdout.splitlines() if line.startswith("no "))
        return {line[1]: "".join(line[2:]) or "no reason told" for line in lines}
