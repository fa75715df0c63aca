"""`python -m tools.demo`: up, bench and destroy as typed, then the proof."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tools.demo import outcome, traces
from tools.demo.outcome import STACK, Outcome
from tools.demo.typed import Shell
from tools.setup import backend
from tools.setup.steps import SetupError

CHECKOUT = Path(__file__).resolve().parents[2]
UP = ("pulumi", "up", "--yes", "--stack", STACK)
BENCH = ("fab", "bench", "--stack", STACK, "--recipe", "rehearsal")
DESTROY = ("pulumi", "destroy", "--yes", "--stack", STACK)
_BACKEND = ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_HOME")
FAILED, REFUSED, INTERRUPTED = 1, 2, 130


def main() -> int:
    """Exit status: 0 all went well, 1 something failed, 2 refused, 130 interrupted."""
    pulumi = shutil.which("pulumi")
    if not pulumi:
        return _refuse("There is no Pulumi engine here.", "Run `make setup`.")
    try:
        backend.prepare(CHECKOUT)
        backend.make_stacks(CHECKOUT, Path(pulumi).parent, lambda _: None, [STACK])
    except SetupError as error:
        return _refuse(error.what, error.advice)
    with _only_one() as alone:
        if not alone:
            return _refuse("A demonstration is under way in this checkout.", "Wait for its end.")
        return _demonstrate(Path(pulumi).parent)


@contextmanager
def _only_one() -> Iterator[bool]:
    """Two would take turns at destroying each other's stack."""
    with (CHECKOUT / ".dyno" / "demo.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _demonstrate(engine: Path) -> int:
    if backend.resources(CHECKOUT, STACK):
        return _refuse(
            f"The stack {STACK} of this checkout is up already, and a demonstration ends by "
            "removing it.",
            f"When you are done with it: {_by_hand(DESTROY)}",
        )
    shell = Shell(CHECKOUT, backend.environment(CHECKOUT, engine))
    try:
        return Demo(shell).run()
    except KeyboardInterrupt:
        _still_up()
        return INTERRUPTED


class Demo:
    """One demonstration."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.started = time.monotonic()
        self.interrupted = False
        self.watch: traces.Watch | None = None

    def run(self) -> int:
        """Up, bench, destroy, proof; the destroy comes whatever happened before it."""
        folder = outcome.results(CHECKOUT, os.environ)
        before = outcome.runs(folder)
        with ExitStack() as while_up:
            benched = self._job(while_up)
            if not benched:
                print("\nThe job was not done; what is up is taken down.", file=sys.stderr)
            destroyed = self._typed(*DESTROY)
        found = sorted(outcome.runs(folder) - before)
        good = _tell(outcome.read(found[-1]) if found else None)
        clean = destroyed and self._prove()
        if not destroyed:
            _still_up()
        self._took()
        if self.interrupted:
            return INTERRUPTED
        return 0 if benched and good and clean else FAILED

    def _job(self, while_up: ExitStack) -> bool:
        if not self._typed(*UP):
            return False
        host = traces.host_in(backend.outputs(CHECKOUT, STACK))
        if host is None:
            print(f"The stack {STACK} names no host on this machine.", file=sys.stderr)
            return False
        self.watch = while_up.enter_context(traces.Watch(host))
        return self._typed(*BENCH)

    def _typed(self, *argv: str) -> bool:
        try:
            return self.shell.run(*argv) == 0
        except KeyboardInterrupt:
            self.interrupted = True
            return False

    def _prove(self) -> bool:
        """Nothing of the host is left: said with what was looked at, or each thing named."""
        home = Path(os.environ.get("LLM_DYNO_HOME") or CHECKOUT / ".dyno")
        watches = [traces.Watch(host) for host in traces.unknown_hosts(home / "hosts", STACK)]
        watches += [self.watch] if self.watch else []
        left = [f"resource {each['urn']}" for each in backend.resources(CHECKOUT, STACK)]
        left += [line for watch in watches for line in traces.left(watch)]
        if left:
            print("left     " + "\n         ".join(dict.fromkeys(left)), file=sys.stderr)
            return False
        print(f"left     nothing: {_gone(self.watch)}")
        return True

    def _took(self) -> None:
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.shell.seconds.items())
        print(f"took     {time.monotonic() - self.started:.1f} s ({parts})", flush=True)


def _tell(run: Outcome | None) -> bool:
    if run is None:
        print("\nresult   none: no run came home", file=sys.stderr)
        return False
    print(f"\nresult   {outcome.shown(run.folder)}")
    missing = "" if run.report.exists() else f" (missing: fab report --stack {STACK} writes it)"
    print(f"report   {outcome.shown(run.report)}{missing}")
    print(f"requests {run.completed} completed of {run.requested} requested")
    if not run.whole:
        print("whole    no: SHA256SUMS is missing, results are not all home", file=sys.stderr)
    return run.good


def _gone(watch: traces.Watch | None) -> str:
    if watch is None:
        return "no host was made"
    ports = ", ".join(map(str, sorted(watch.ports)))
    return f"{len(watch.seen)} processes ended, ports {ports} closed, folder gone (seen in /proc)"


def _still_up() -> None:
    print(
        f"left     the stack {STACK} may still be up; the lines above say why.\n"
        f"         Then: {_by_hand(DESTROY)}",
        file=sys.stderr,
    )


def _by_hand(argv: tuple[str, ...]) -> str:
    """*argv* as a person has to type it; one with a Pulumi login has to name this backend."""
    words = ["source", "./activate", "&&"]
    if backend.has_login(os.environ, CHECKOUT):
        settings = backend.settings(CHECKOUT)
        words += [f"{name}={shlex.quote(settings[name])}" for name in _BACKEND]
    return " ".join([*words, *argv])


def _refuse(what: str, advice: str) -> int:
    print(f"{what}\n{advice}", file=sys.stderr)
    return REFUSED


if __name__ == "__main__":
    sys.exit(main())
