"""Models made out of others: what they are called, and when they are there."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from provisioning import conversions, models
from provisioning.conversions import Conversion
from provisioning.facts.model_cache import Cached
from provisioning.facts.model_folder import Folder
from provisioning.host_schema import HostNeeds
from provisioning.needs import Needs
from provisioning.recipe_schema import Model
from tests.provisioning.fakes import FakeHost

COMMIT = "8ba592643746bdda64f4aefa9a9fcee22396f44d"


def model(**more: Any) -> Model:
    made = {"name": "m-fp8", "convert": {"from": "o/m", "scheme": "fp8-dynamic"}} | more
    return Model.model_validate(made)


def wanted(**more: Any) -> Conversion:
    found = conversions.of(Needs(HostNeeds(), model(**more), None, "/w", "/data/"))
    assert found is not None
    return found


def of_folder(**convert: Any) -> Conversion:
    return wanted(convert={"from": "/in", "scheme": "fp8-dynamic"} | convert)


def test_what_it_is_made_from_is_brought() -> None:
    """From the hub, at the model's revision; or it lies in a folder."""
    hub = wanted(revision=COMMIT).hub
    assert hub is not None
    assert ("o/m", COMMIT, "/data/models") == (hub.name, hub.revision, hub.home)
    assert None is of_folder().hub
    brought = models.source(model(convert={"from": "/in", "scheme": "fp8-dynamic"}))
    assert ("/in", "m-fp8") == (brought.path, brought.name)
    assert Model(name="x") == models.source(Model(name="x"))


def test_nothing_is_made_for_who_does_not_read_it() -> None:
    """Nor for a recipe that does not ask."""
    assert None is conversions.of(Needs(HostNeeds(), model(), None, "/w", "/d", weights=False))
    assert None is conversions.of(Needs(HostNeeds(), Model(name="m"), None, "/w", "/d"))


def test_its_name_says_from_what_and_how() -> None:
    """Another source, and what is left as it is, make another name."""
    host = FakeHost(ModelCache=Cached(complete=True, commit=COMMIT))
    made = wanted()
    source = made.source(host)
    assert source is not None
    assert f"/data/models/hub/models--o--m/snapshots/{COMMIT}" == source.path
    assert made.target(source).startswith("/data/models/converted/o--m-8ba592643746-fp8-dynamic-")
    folders = [Folder(10, 2, "aa"), Folder(11, 2, "aa"), Folder(10, 2, "ab")]
    names = set()
    for each in (of_folder(), of_folder(ignore=["lm_head", "re:.*gate$"])):
        for folder in folders:
            found = each.source(FakeHost(ModelFolder=folder))
            assert found is not None
            names.add(each.name(found))
    assert 6 == len(names)
    assert all(name.startswith("in-") for name in names)


def test_the_source_may_be_yet_to_come() -> None:
    """A commit is known beforehand, a branch and a folder are not."""
    host = FakeHost(ModelCache=Cached(complete=False), ModelFolder=None)
    source = wanted(revision=COMMIT).source(host)
    assert COMMIT[:12] == (source.identity if source else "")
    assert (None, None) == (wanted(revision="main").source(host), of_folder().source(host))


def test_a_recipe_keeps_its_key() -> None:
    """Written again it is what was read; a folder to serve does not go with it."""
    plain = model().model_dump()
    assert {"from": "o/m", "scheme": "fp8-dynamic", "ignore": ["lm_head"]} == plain["convert"]
    assert model() == Model.model_validate(plain)
    with pytest.raises(ValidationError, match="leave one out"):
        model(path="/x")
