"""Counting tokens as the server does, and text that is exactly so many tokens long."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

from bench_agent.client import Client, FetchError, StoppedError

#: Short common words, one token each in the tokenizers in use.
_TEXT = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work government "
    "number night point home water room mother area money story fact month lot right study book "
    "eye job word business issue side kind head house service friend father power hour game line"
)
WORDS = _TEXT.split()
#: What of a request's extra body changes how a chat template is filled in.
_TEMPLATE_FIELDS = (
    "add_generation_prompt",
    "add_special_tokens",
    "chat_template",
    "chat_template_kwargs",
    "continue_final_message",
    "tools",
)


class TokenizerError(Exception):
    """The server does not count tokens, or not in a way that can be used."""


class Tokenizer(Protocol):
    """The server's way of counting."""

    def encode(self, text: str) -> list[int]:
        """Token ids of *text* alone, no special tokens added."""

    def count_chat(self, text: str) -> int:
        """Prompt tokens of one user message, the chat template's included."""

    def __hash__(self) -> int: ...


class ServerTokenizer:
    """Asks vLLM's ``/tokenize``. `extra_body`: what requests will bear; it may alter the template.

    Its methods raise `TokenizerError`, and `StoppedError` when the client's tick ends the wait.
    """

    def __init__(
        self, client: Client, model: str, extra_body: Mapping[str, Any] | None = None
    ) -> None:
        self._client = client
        self._model = model
        extra = extra_body or {}
        self._template = {name: extra[name] for name in _TEMPLATE_FIELDS if name in extra}

    def encode(self, text: str) -> list[int]:
        """See `Tokenizer`."""
        return self._ask({"prompt": text, "add_special_tokens": False})

    def count_chat(self, text: str) -> int:
        """See `Tokenizer`."""
        return len(self._ask({**self._template, "messages": [{"role": "user", "content": text}]}))

    def _ask(self, question: dict[str, Any]) -> list[int]:
        body = {"model": self._model, **question}
        try:
            status, raw = self._client.request("POST", "/tokenize", body)
        except StoppedError:
            raise
        except FetchError as error:
            raise TokenizerError(f"The server could not be asked for tokens: {error}") from None
        try:
            found = json.loads(raw)["tokens"] if status == 200 else None
        except (ValueError, KeyError, TypeError):
            found = None
        if not isinstance(found, list) or not all(type(each) is int for each in found):
            said = raw[:200].decode(errors="replace")
            raise TokenizerError(
                f"The server's /tokenize gave no token ids (status {status}: {said!r}). "
                "Choose a workload that needs none, or a server that counts."
            )
        return found


class Filler:
    """Words that add one token each to a message that begins with `start`.

    `base`: tokens of the message that is `start` alone: template, head and the first word;
    `template` is the same, but None where it is a guess.
    """

    def __init__(self, tokens: Tokenizer | None, head: str = "") -> None:
        self._count = tokens.count_chat if tokens else _guess
        self._head = head
        self.start = head + WORDS[0]
        self.base = self._count(self.start)
        self.template = self.base if tokens else None
        self.words = self._single(WORDS[1:])
        twice = [*reversed(self.words), *self.words]
        if not twice or self._count(" ".join([self.start, *twice])) != self.base + len(twice):
            raise TokenizerError(
                "The words known here are not one token each to this server, so chat prompts of "
                "an exact length cannot be made. Use api: completions."
            )

    def cost(self, piece: str) -> int:
        """Tokens that *piece* (it ends with a line feed) adds behind the head."""
        return self._count(f"{self._head}{piece}{WORDS[0]}") - self.base

    def _single(self, words: Sequence[str]) -> list[str]:
        if self._count(" ".join([self.start, *words])) == self.base + len(words):
            return list(words)
        half = len(words) // 2
        return self._single(words[:half]) + self._single(words[half:]) if half else []


#: The same words as before for the same tokenizer: the server is asked once.
filler = lru_cache(maxsize=4)(Filler)


def _guess(text: str) -> int:
    """Where nobody can be asked: a word is a token, so is a line feed."""
    return len(text.split()) + text.count("\n")
