"""An MLNode's REST API, as it is documented and as its public source has it.

============================== ======================================================
``GET  /api/v1/state``          ``{"state": "INFERENCE" | "POW" | "TRAIN" | "STOPPED"}``
``POST /api/v1/inference/up``   answers when vLLM does, or gave up: ``{"status": "OK"}``,
                                ``{"status": "ERROR", "message": …}`` (with 200), 409 while the
                                node works for its network, 422 for a body it cannot read
``POST /api/v1/inference/down`` ``{"status": "OK"}``, 409 as above
============================== ======================================================

The state is INFERENCE as soon as vLLM's processes run: long before they answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioning.command import Secret
from provisioning.errors import LaunchError

if TYPE_CHECKING:
    import httpx

STATE, UP, DOWN = "/api/v1/state", "/api/v1/inference/up", "/api/v1/inference/down"
INFERENCE, STOPPED = "INFERENCE", "STOPPED"
_ANSWER_S = 10.0
_LONGEST_SAID = 300
#: Answers of what stands before a node, when that has not answered itself.
_OF_PROXIES = (502, 503, 504)


class SilentError(LaunchError):
    """No answer: refused, broken off, too late, or a proxy's word that nobody is there."""


@dataclass(frozen=True)
class Node:
    """One node; `number` counts from 1, `of` is how many there are."""

    management_url: str
    inference_url: str
    number: int = 1
    of: int = 1

    @property
    def name(self) -> str:
        """``node 2 (http://…)``; of one alone without its number."""
        which = f"node {self.number}" if self.of > 1 else "node"
        return f"{which} ({self.management_url})"

    def state(self) -> str:
        """What it does: INFERENCE, POW, TRAIN, STOPPED, or a word of a later release.

        Raises:
            SilentError: it does not answer.
            LaunchError: what answers is no MLNode.
        """
        data = self._json("GET", self.management_url + STATE)
        state = data.get("state")
        if not isinstance(state, str):
            raise self._no_mlnode(STATE, f"tells no state: {json.dumps(data)[:_LONGEST_SAID]}")
        return state

    def up(self, body: dict[str, Any], timeout_s: float) -> None:
        """Ask it to serve; returns when it says that it does.

        Raises:
            SilentError: the answer did not come; it may be at work all the same.
            LaunchError: it refused, or vLLM did not start.
        """
        self._ordered(UP, timeout_s, body)

    def down(self, timeout_s: float) -> None:
        """Ask it to stop vLLM; returns when it says that it is gone.

        Raises:
            LaunchError: as `up`.
        """
        self._ordered(DOWN, timeout_s)

    def models(self, key: Secret | None) -> list[str] | None:
        """What its inference URL serves; None while there is nobody, or no model yet.

        Raises:
            LaunchError: it wants another key, or what answers is no such server.
        """
        headers = {"Authorization": f"Bearer {key.reveal()}"} if key else {}
        try:
            data = self._json("GET", f"{self.inference_url}/v1/models", headers=headers)
        except SilentError:
            return None
        try:
            return [str(model["id"]) for model in data["data"]] or None
        except (KeyError, TypeError):
            raise self._no_mlnode("/v1/models", "lists no models", self.inference_url) from None

    def _ordered(self, path: str, timeout_s: float, body: dict[str, Any] | None = None) -> None:
        data = self._json("POST", self.management_url + path, timeout_s, json=body)
        if data.get("status") == "ERROR":
            said = _short(str(data.get("message") or "it does not say why"))
            raise LaunchError(
                f"vLLM did not start on the {self.name}: {said}",
                "Look at the log of the node's container for vLLM's own words; mend engine.args or "
                "the layout.",
                host=self.management_url,
            )
        if data.get("status") != "OK":
            said = _short(json.dumps(data))
            raise self._no_mlnode(path, f"answers neither OK nor ERROR: {said}")

    def _json(self, method: str, url: str, timeout_s: float = _ANSWER_S, **more: Any) -> Any:
        reply = self._sent(method, url, timeout_s, **more)
        path = url.removeprefix(self.management_url)
        if reply.status_code in _OF_PROXIES:
            raise self._silent(url, f"answers {reply.status_code}")
        if reply.status_code >= 300:
            raise self._refused(path, reply)
        try:
            data = reply.json()
        except ValueError:
            raise self._no_mlnode(path, f"answers no JSON: {_short(reply.text)}") from None
        if not isinstance(data, dict):
            raise self._no_mlnode(path, f"answers no object: {_short(reply.text)}")
        return data

    def _sent(self, method: str, url: str, timeout_s: float, **more: Any) -> httpx.Response:
        import httpx  # noqa: PLC0415 - of this engine alone; it takes a tenth of a second

        patience = httpx.Timeout(timeout_s, connect=_ANSWER_S)
        try:
            with httpx.Client(trust_env=False, timeout=patience) as client:
                return client.request(method, url, **more)
        except httpx.TimeoutException:
            raise self._silent(url, f"does not answer within {timeout_s:.0f} s") from None
        except httpx.RequestError as error:
            raise self._silent(url, f"does not answer: {error or type(error).__name__}") from None
        except httpx.InvalidURL as error:
            raise self._silent(url, f"is no address: {error}") from None

    def _silent(self, url: str, what: str) -> SilentError:
        return SilentError(
            f"{url} {what.rstrip('.')}.",
            "See that the node's container runs, and that its ports are those of the stack's "
            "endpoints.",
            host=self.management_url,
        )

    def _refused(self, path: str, reply: httpx.Response) -> LaunchError:
        status, said = reply.status_code, _short(_detail(reply))
        advice = {
            401: "Its key goes into $VLLM_API_KEY.",
            403: "Its key goes into $VLLM_API_KEY.",
            404: "Check management_url of the stack: it is the API's address, often port 8080.",
            409: "Wait until the node is free, or take it out of its network first.",
            422: "Mend engine.args: the node takes model, dtype and a list of words.",
        }
        return LaunchError(
            f"The {self.name} answers {status} to {path}: {said}",
            advice.get(status, "Look at the log of the node's container."),
            host=self.management_url,
        )

    def _no_mlnode(self, path: str, what: str, url: str = "") -> LaunchError:
        return LaunchError(
            f"{url or self.management_url}{path} {what}.",
            "Check the endpoints of the stack: management_url is an MLNode's API, inference_url "
            "where it serves.",
            host=self.management_url,
        )


def _detail(reply: httpx.Response) -> str:
    """FastAPI's ``detail`` where there is one, with the path of each wrong key."""
    try:
        detail = reply.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return reply.text or "nothing more"
    if not isinstance(detail, list):
        return str(detail)
    rows = [row for row in detail if isinstance(row, dict)]
    return "; ".join(
        f"{'.'.join(map(str, row.get('loc', ())))}: {row.get('msg', row)}" for row in rows
    )


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_SAID else f"{text[:_LONGEST_SAID]} …"
