"""Why a model is not there, in a sentence, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from provisioning.errors import HostError
from provisioning.models import HubModel

_ASK = "set HF_TOKEN to a token of an account that has access"
_AGAIN = "What was downloaded is kept: run it again."


def explained(model: HubModel, result: dict[str, Any], host: str, log: str = "") -> HostError:
    """The error for the *result* of a download that brought no model; empty: it was killed."""
    why = _Why(model, result)
    what, advice = getattr(why, str(result.get("kind", "died")), why.other)()
    return HostError(what, advice, host=host, log=log)


@dataclass(frozen=True)
class _Why:
    """A method for each kind of `provisioning.model_fetch.failure`."""

    of: HubModel
    result: dict[str, Any]

    @property
    def _with_token(self) -> bool:
        return bool(self.result.get("with_token"))

    @property
    def _detail(self) -> str:
        return str(self.result.get("detail", "")).strip().rstrip(".")

    def model(self) -> tuple[str, str]:
        seen = "that your HF_TOKEN may see" if self._with_token else "that is open to everybody"
        advice = "" if self._with_token else f", or, if it is private, {_ASK}"
        return f"{self.of.hub} has no model {self.of.name} {seen}.", f"Correct model.name{advice}."

    def gated(self) -> tuple[str, str]:
        why = "your HF_TOKEN's account has no access" if self._with_token else "no HF_TOKEN is set"
        advice = f"Ask for access at {self.of.hub}/{self.of.name}, and {_ASK}."
        return f"The model {self.of.name} is gated, and {why}.", advice

    def token(self) -> tuple[str, str]:
        advice = "Set HF_TOKEN to a valid token; a model that is open to everybody needs none."
        return f"{self.of.hub} does not accept your HF_TOKEN.", advice

    def forbidden(self) -> tuple[str, str]:
        what = f"{self.of.hub} refuses the model {self.of.name}: {self._detail}."
        return what, f"Look at {self.of.hub}/{self.of.name}, and {_ASK}."

    def revision(self) -> tuple[str, str]:
        what = f"{self.of.hub} has no revision {self.of.revision} of the model {self.of.name}."
        return what, "Correct model.revision: a commit, a branch or a tag."

    def egress(self) -> tuple[str, str]:
        what = f"The host does not get through to {self.of.hub}: {self._detail}."
        other = "or bring the model to the host and set model.path"
        return what, f"Open its way out, set model.hub to a mirror, {other}."

    def hub(self) -> tuple[str, str]:
        return f"{self.of.hub} is not well: {self._detail}.", f"Wait a while. {_AGAIN}"

    def space(self) -> tuple[str, str]:
        what = f"The disk of {self.of.home} is full"
        if "missing" in self.result:
            missing, free = self.result["missing"] / 1e9, self.result["free"] / 1e9
            what = f"{missing:.2f} GB of {self.of.name} are missing on {self.of.home}, and there is"
            what += f" room for {free:.2f} GB"
        return f"{what}.", f"Make room there, or ask for a disk (host.data_disk). {_AGAIN}"

    def damaged(self) -> tuple[str, str]:
        what = f"The download of {self.of.name} was damaged: {self._detail}."
        return what, "The damaged files were removed: run it again."

    def died(self) -> tuple[str, str]:
        what = f"The download of {self.of.name} was killed before its end, or the host restarted."
        return what, _AGAIN

    def other(self) -> tuple[str, str]:
        return f"The download of {self.of.name} failed: {self._detail}.", _AGAIN
