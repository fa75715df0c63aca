"""What a client asks for, checked: request bodies to jobs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bench_agent.simulator import tokens
from bench_agent.simulator.options import Options
from bench_agent.simulator.refusal import Refusal


@dataclass(frozen=True)
class Job:
    """One generation: how many tokens came, how many are to go, and how."""

    chat: bool
    prompt_tokens: int
    max_tokens: int
    stream: bool
    include_usage: bool


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in *body*.

    Raises:
        Refusal: it is none.
    """
    try:
        data = json.loads(body)
    except ValueError:
        raise Refusal(400, "The body is not valid JSON.") from None
    if not isinstance(data, dict):
        raise Refusal(400, "The body is not a JSON object.")
    return data


def read_job(data: dict[str, Any], options: Options, *, chat: bool) -> Job:
    """Check the body of a completion request.

    Raises:
        Refusal: 404 for another model, 400 for everything else that is wrong.
    """
    check_model(data, options)
    stream = _flag(data, "stream")
    usage = _stream_options(data, stream=stream)
    _temperature(data)
    if _positive(data, "n", 1) != 1:
        raise Refusal(400, "Only n = 1 is supported.", "n")
    prompt = chat_tokens(data) if chat else prompt_tokens(data)
    wanted = _positive(data, "max_tokens", None)
    if wanted is None:
        wanted = _positive(data, "max_completion_tokens", options.max_tokens) or options.max_tokens
    if prompt + wanted > options.max_model_len:
        raise Refusal(
            400,
            f"This model's maximum context length is {options.max_model_len} tokens. However, you "
            f"requested {prompt + wanted} tokens ({prompt} in the prompt, {wanted} in the output).",
            "max_tokens",
        )
    return Job(chat, prompt, wanted, stream, usage)


def check_model(data: dict[str, Any], options: Options) -> None:
    """The model named in the body is the one that is served, or none is named."""
    model = data.get("model", options.model)
    if model != options.model:
        raise Refusal(404, f"The model `{model}` does not exist.", "model")


def prompt_tokens(data: dict[str, Any]) -> int:
    """Number of tokens of `prompt`: a text, token ids, or a list of one of these."""
    prompt = data.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], (str, list)):
        prompt = prompt[0]
    if isinstance(prompt, str):
        found = tokens.count(prompt)
    elif isinstance(prompt, list) and set(map(type, prompt)) <= {int}:
        found = len(prompt)
    else:
        raise Refusal(400, "prompt must be a text or a list of token ids.", "prompt")
    if not found:
        raise Refusal(400, "prompt must not be empty.", "prompt")
    return found


def chat_tokens(data: dict[str, Any]) -> int:
    """Number of tokens of `messages`."""
    text = chat_text(data)
    if not text.split():
        raise Refusal(400, "messages must not be empty.", "messages")
    return tokens.count(text)


def chat_text(data: dict[str, Any]) -> str:
    """All text of `messages`."""
    messages = data.get("messages")
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise Refusal(400, "messages must be a list of objects.", "messages")
    return " ".join(_content(message) for message in messages)


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    if not isinstance(message.get("role"), str):
        raise Refusal(400, "Each message needs a role.", "messages")
    if isinstance(content, list):
        parts = [p.get("text") if isinstance(p, dict) else None for p in content]
        content = " ".join(p for p in parts if isinstance(p, str))
    if not isinstance(content, str):
        raise Refusal(400, "Each message needs a content.", "messages")
    return content


def _flag(data: dict[str, Any], key: str) -> bool:
    value = data.get(key)
    if value is not None and not isinstance(value, bool):
        raise Refusal(400, f"{key} must be true or false.", key)
    return bool(value)


def _positive(data: dict[str, Any], key: str, default: int | None) -> int | None:
    value = data.get(key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise Refusal(400, f"{key} must be at least 1.", key)
    return value


def _temperature(data: dict[str, Any]) -> None:
    value = data.get("temperature")
    if value is None:
        return
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 2:
        raise Refusal(400, "temperature must be in [0, 2].", "temperature")


def _stream_options(data: dict[str, Any], *, stream: bool) -> bool:
    value = data.get("stream_options")
    if value is None:
        return False
    if not stream:
        raise Refusal(
            400, "Stream options can only be defined when `stream=True`.", "stream_options"
        )
    if not isinstance(value, dict):
        raise Refusal(400, "stream_options must be an object.", "stream_options")
    return _flag(value, "include_usage")
