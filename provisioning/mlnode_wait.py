"""From the request to a node that it serves, to its first answer: phases, each with its deadline.

``start``: until the node says INFERENCE. ``weights``: until it says that vLLM answers; the node
tells nothing of what happens meanwhile. ``serve``: until the model is listed where the load goes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from provisioning.at_once import OverError
from provisioning.command import Secret
from provisioning.engine_schema import Timeouts
from provisioning.errors import LaunchError
from provisioning.mlnode_api import INFERENCE, Node, SilentError
from provisioning.readiness import READY, NotReadyError, Progress, Ready, Teller

START, WEIGHTS, SERVE = "start", "weights", "serve"
POLL_S = 1.0
#: A node whose API was silent for so long is gone: it ends itself when vLLM has died.
SILENT_S = 20.0
#: When vLLM has ended: for the node to say why.
ANSWER_S = 5.0


class Wait:
    """The wait for one node; *over* ends it from outside, within a second."""

    def __init__(
        self, node: Node, timeouts: Timeouts, note: Callable[[str], None], over: threading.Event
    ) -> None:
        self._node = node
        self._timeouts = timeouts
        self._tell = Teller(note, f"node {node.number}" if node.of > 1 else "node")
        self._over = over
        self._answered = threading.Event()
        self._answer: LaunchError | None = None
        self._began = self._phase_began = self._heard = time.monotonic()
        self._phase = START
        self._last = ""
        self._seen = Ready()

    def run(self, body: dict[str, Any], key: Secret | None) -> Ready:
        """Ask the node to serve *body*, and wait until it does.

        Raises:
            OverError: the wait was ended from outside.
            NotReadyError: a phase, or all, took longer than it may; or vLLM ended.
            LaunchError: the node refused, or could not start vLLM; it says why.
        """
        posting = threading.Thread(target=self._post, args=(body,), daemon=True)
        posting.start()  # the answer comes when vLLM is up: up to 20 minutes later
        model = body["model"]
        while not self._served(model, key):
            self._keep_deadlines()
            if self._over.wait(POLL_S):
                raise OverError
        self._enter(READY)
        self._seen.seconds = time.monotonic() - self._began
        return self._seen

    def _post(self, body: dict[str, Any]) -> None:
        try:
            self._node.up(body, self._timeouts.ready_s + ANSWER_S)
        except LaunchError as error:
            self._answer = error
        finally:
            self._answered.set()

    def _served(self, model: str, key: Secret | None) -> bool:
        """One look; whether it serves."""
        refused = self._answer if self._answered.is_set() else None
        if refused is not None and not isinstance(refused, SilentError):
            raise refused
        state = self._state()
        if self._phase == START and state == INFERENCE:
            self._enter(WEIGHTS)
        elif self._phase != START and state not in (INFERENCE, ""):
            raise self._ended(state)
        if self._phase == START or not self._answered.is_set():
            return False
        if self._phase == WEIGHTS and self._answer is None:
            self._enter(SERVE)
        return self._lists(model, key)  # where the answer was lost, it may still be loading

    def _state(self) -> str:
        """Empty while the node is silent, for a while."""
        try:
            self._last = self._node.state()
        except SilentError as error:
            if time.monotonic() - self._heard > SILENT_S:
                raise self._not_ready(
                    f"The {self._node.name} is gone: {error.what}",
                    "It ends itself when vLLM has died; its container's log says why.",
                    "exited",
                ) from None
            return ""
        self._heard = time.monotonic()
        return self._last

    def _lists(self, model: str, key: Secret | None) -> bool:
        served = self._node.models(key)
        if served is None:
            return False
        if model not in served:
            raise LaunchError(
                f"{self._node.inference_url} serves {', '.join(served)}, not {model}.",
                "Check that inference_url and management_url of the stack are of one node.",
                host=self._node.management_url,
            )
        return True

    def _enter(self, phase: str) -> None:
        now = time.monotonic()
        self._seen.phases[self._phase] = round(now - self._phase_began, 3)
        lasted = now - self._phase_began
        self._tell(Progress(now - self._began, self._phase, "", lasted))
        self._tell(Progress(now - self._began, phase, "", lasted if phase == READY else 0.0))
        self._phase, self._phase_began = phase, now

    def _keep_deadlines(self) -> None:
        now, limit = time.monotonic(), self._limit()
        in_phase, whole = now - self._phase_began, now - self._began
        self._tell(Progress(whole, self._phase, "", in_phase))
        said = f"its state is {self._last}" if self._last else "it said nothing"
        if in_phase > limit:
            raise self._not_ready(
                f"The {self._node.name} was given up: the phase {self._phase!r} took longer than "
                f"{limit:.0f} s, {said}.",
                f"Look at the log of the node's container; {self._key()} gives it more time.",
                "hung",
            )
        if whole > self._timeouts.ready_s:
            raise self._not_ready(
                f"The {self._node.name} was not ready within {self._timeouts.ready_s:.0f} s: it is "
                f"in the phase {self._phase!r}, {said}.",
                "Look at the log of the node's container; timeouts.ready_s gives it more time.",
                "late",
            )

    def _limit(self) -> float:
        """Of the second phase: of all that happens unseen in it."""
        phases = self._timeouts.phases
        if self._phase == START:
            return phases.start_s
        if self._phase == SERVE:
            return phases.serve_s
        return phases.weights_s + phases.compile_s + phases.kv_cache_s + phases.graphs_s

    def _key(self) -> str:
        return f"timeouts.phases.{self._phase}_s"

    def _ended(self, state: str) -> LaunchError:
        """The node's own answer says more, and comes a moment later."""
        self._answered.wait(ANSWER_S)
        if self._answer is not None and not isinstance(self._answer, SilentError):
            return self._answer
        why = f" {self._answer.what}" if self._answer else ""
        return self._not_ready(
            f"vLLM ended on the {self._node.name} before it answered; the node's state is "
            f"{state}.{why}",
            "Look at the log of the node's container for vLLM's own words.",
            "exited",
        )

    def _not_ready(self, what: str, advice: str, end: str) -> NotReadyError:
        error = NotReadyError(what, advice, host=self._node.management_url)
        error.end, error.phase_reached = end, self._phase
        return error
