"""Tests of counting tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench_agent.client import FetchError, StoppedError
from bench_agent.tokenizer import WORDS, Filler, ServerTokenizer, TokenizerError, filler
from tests.bench_agent.workloads.counting import TEMPLATE, Counting


class Server:
    """Answers each question with the same, and keeps it."""

    def __init__(self, answer: tuple[int, bytes] | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, Any]] = []

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        self.asked.append((method, path, body))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def tokens(answer: Any = None, **extra: Any) -> tuple[Server, ServerTokenizer]:
    """A server, and the tokenizer that asks it."""
    server = Server(answer or (200, b'{"count": 3, "tokens": [5, 6, 7], "max_model_len": 9}'))
    return server, ServerTokenizer(server, "m", extra)  # type: ignore[arg-type] # a stand-in


def test_a_text_is_asked_for_without_special_tokens() -> None:
    """They would be in the middle of what is put together."""
    server, asking = tokens()

    assert [5, 6, 7] == asking.encode("a b")
    body = {"model": "m", "prompt": "a b", "add_special_tokens": False}
    assert [("POST", "/tokenize", body)] == server.asked


def test_a_message_is_counted_with_the_template_that_requests_will_have() -> None:
    """What of the extra body alters the template goes along, and nothing else."""
    server, asking = tokens(chat_template_kwargs={"enable_thinking": False}, top_p=0.5)

    assert 3 == asking.count_chat("a b")
    assert {
        "model": "m",
        "messages": [{"role": "user", "content": "a b"}],
        "chat_template_kwargs": {"enable_thinking": False},
    } == server.asked[0][2]


@pytest.mark.parametrize(
    "answer",
    [(404, b'{"tokens": [1]}'), (200, b"<html>"), (200, b"[]"), (200, b"{}")]
    + [(200, json.dumps({"tokens": found}).encode()) for found in (7, ["a"], [None])],
)
def test_an_answer_that_is_no_list_of_ids_is_named(answer: tuple[int, bytes]) -> None:
    """With its status and its head."""
    with pytest.raises(TokenizerError, match=rf"/tokenize gave no token ids \(status {answer[0]}:"):
        tokens(answer)[1].encode("a")


def test_no_answer_is_a_tokenizers_error_but_a_stop_is_a_stop() -> None:
    """The run ends in order when it was told to."""
    with pytest.raises(TokenizerError, match=r"could not be asked for tokens: No answer\."):
        tokens(FetchError("No answer."))[1].encode("a")
    with pytest.raises(StoppedError):
        tokens(StoppedError("The run ends."))[1].encode("a")


def test_fillers_are_the_words_of_one_token() -> None:
    """The awkward tokenizer splits what is longer than five letters behind a space."""
    words = Filler(Counting())

    assert [word for word in WORDS[1:] if len(word) <= 5] == words.words
    assert TEMPLATE + 1 == words.base == words.template


def test_words_add_up_behind_any_head() -> None:
    """In any order, as often as one likes; and lines cost what they add."""
    counting = Counting()
    words = Filler(counting, "Tell me, please:\n")
    text = " ".join([words.start, *reversed(words.words), *words.words])

    assert words.base + 2 * len(words.words) == counting.count_chat(text)
    assert len(counting.encode("And so on;\n")) == words.cost("And so on;\n")


class Forgetful(Counting):
    """Counts a word that it has seen in this text as two tokens."""

    def count_chat(self, text: str) -> int:
        return 2 * len(text.split()) - len(set(text.split()))


class Mute(Counting):
    """Counts no word as one token."""

    def count_chat(self, text: str) -> int:
        return 2 * super().count_chat(text)


@pytest.mark.parametrize("counting", [Forgetful(), Mute()])
def test_words_that_do_not_add_up_are_not_used(counting: Counting) -> None:
    """No prompt would be as long as it says."""
    with pytest.raises(TokenizerError, match="not one token each to this server"):
        Filler(counting)


def test_it_takes_three_questions_where_all_words_are_one_token() -> None:
    """For the base, for all words, and for the proof; and none the second time."""

    class Words(Counting):
        def count_chat(self, text: str) -> int:
            self.asked += 1
            return len(text.split())

    counting = Words()

    assert WORDS[1:] == filler(counting).words == filler(counting).words
    assert 3 == counting.asked


def test_without_a_tokenizer_a_word_is_taken_for_a_token() -> None:
    """And so is a line feed; but nothing is claimed of a template."""
    words = filler(None, "Go on:\n")

    assert (4, None, WORDS[1:]) == (words.base, words.template, words.words)
    assert 4 == words.cost("one two three\n")


def test_words_are_distinct_and_lower_case() -> None:
    """Each is a word of letters alone."""
    assert 50 < len(set(WORDS)) == len(WORDS)
    assert all(word.isalpha() and word.islower() for word in WORDS)
