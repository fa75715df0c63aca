"""Prompts that begin with one of a few prefixes, each as often as the others.

Options: ``num_prefixes`` 10, ``prefix_len`` 256, ``suffix_len`` 256 (the prompt's length is their
sum; `input_len` says nothing), ``vocab`` as in ``random``. Each run of ``num_prefixes`` requests
has each prefix once, in a drawn order.
"""

from __future__ import annotations

from functools import lru_cache

from bench_agent.load.plan import Request
from bench_agent.protocol import Workload
from bench_agent.tokenizer import Tokenizer
from bench_agent.workloads import Made, Options, shuffled
from bench_agent.workloads.random import Writer, need


def requests(workload: Workload, api: str, stream: str, tokens: Tokenizer | None = None) -> Made:
    """Prompts of one prefix and a suffix of their own.

    Raises:
        WorkloadError: a bad option, or a length below the chat template's.
    """
    prefixes, prefix_len, suffix_len = _options(workload)
    writer = Writer(workload, api, tokens)
    length = prefix_len + suffix_len
    need(length, writer.base)
    keys = [f"{workload.seed}/prefix/{i}/shared" for i in range(prefixes)]
    shared = [writer.shared(each, prefix_len) for each in keys]
    key = f"{workload.seed}/{stream}"
    order = lru_cache(maxsize=4)(lambda block: shuffled(f"{key}/order/{block}", prefixes))

    def make(index: int) -> Request:
        block, place = divmod(index, prefixes)
        prefix = shared[order(block)[place]]
        return writer.request(f"{key}/{index}", length, workload.output_len, prefix)

    return Made(make, template=writer.template)


def cache_hit_share(workload: Workload, template: int) -> float:
    """The prefixes' share, or the template's."""
    _, prefix_len, suffix_len = _options(workload)
    return max(prefix_len, template) / (prefix_len + suffix_len)


def _options(workload: Workload) -> tuple[int, int, int]:
    options = Options(workload, "num_prefixes", "prefix_len", "suffix_len", "vocab")
    count = options.whole("num_prefixes", 10, low=1)
    return count, options.whole("prefix_len", 256), options.whole("suffix_len", 256, low=1)
