"""The cloud of nodes that run already: described by their URLs, nothing is made."""

from __future__ import annotations

import pytest

from stacks import settings
from stacks.clouds.mlnode import Config
from stacks.failure import Failure
from stacks.settings import Settings

NODE = {"inference_url": "http://192.0.2.7:5000", "management_url": "http://192.0.2.7:8080"}


def loaded(*nodes: dict[str, str]) -> Config:
    """The configuration of a stack with these nodes."""
    config = settings.load(Settings("mlnode", {"endpoints": list(nodes)}))
    assert isinstance(config, Config)
    return config


def test_the_preset_names_the_recipe() -> None:
    """`fab bench --stack mlnode` runs the layouts."""
    config = loaded(NODE, NODE | {"management_url": "https://node.example.net/v3.0.8/"})

    assert ("mlnode", "mlnode-layouts") == (config.cloud, config.recipe)
    assert "https://node.example.net/v3.0.8" == config.endpoints[1].management_url


def test_without_nodes_nothing_is_made() -> None:
    """The key is named."""
    with pytest.raises(Failure, match="endpoints: is missing"):
        settings.load(Settings("mlnode", {}))
    with pytest.raises(Failure, match="endpoints: "):
        loaded()


@pytest.mark.parametrize(
    "url",
    [
        "192.0.2.7:8080",
        "ftp://192.0.2.7",
        "http://ann:word@192.0.2.7",
        "http://192.0.2.7:99999",
        "http://192.0.2.7/?a=b",
        "http://192.0.2.7:5000/v1",
        "http://192.0.2.7:8080/api/v1",
        "",
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    """With the path of the key."""
    with pytest.raises(Failure, match=r"endpoints\.0\.management_url: should "):
        loaded(NODE | {"management_url": url})
