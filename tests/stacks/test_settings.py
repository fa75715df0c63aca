from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stacks import settings
from stacks.clouds import existing, local
from stacks.failure import Failure

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFm4SIo9wczs/H5Ug50JJxd3HwFehSN4AKZ44w21v8U+"
EXISTING = {
    "cloud": "existing",
    "address": "192.0.2.1",
    "user": "ann",
    "workdir": "/home/ann/dyno",
    "host_keys": f'["{HOST_KEY}"]',
}


def load(stack: str = "local", secret: tuple[str, ...] = (), **values: Any) -> Any:
    config = {f"llm-dyno:{key}": value for key, value in values.items()}
    return settings.load(settings.from_pulumi(stack, config, [f"llm-dyno:{k}" for k in secret]))


def refusal(stack: str = "local", secret: tuple[str, ...] = (), **values: Any) -> str:
    with pytest.raises(Failure) as caught:
        load(stack, secret, **values)
    return str(caught.value)


def test_every_preset_is_valid() -> None:
    """A preset loads as it is, but for what only a person can say."""
    names = settings.preset_names()
    node = {"inference_url": "http://192.0.2.7:5000", "management_url": "http://192.0.2.7:8080"}
    told = {"mlnode": {"endpoints": [node]}}

    assert "local" in names
    assert all(load(name, **told.get(name, {})).cloud in settings.cloud_names() for name in names)


def test_a_preset_is_chosen_by_the_name_of_the_stack() -> None:
    """Stack `local` is the preset `local`: four hours, the rehearsal, no price."""
    config = load()

    assert isinstance(config, local.Config)
    assert (14400, "rehearsal", 0.0) == (config.ttl, config.recipe, config.price_usd_per_hour)


def test_a_preset_is_chosen_by_key() -> None:
    """Any stack can begin with any preset, and set over it what differs (Pulumi hands text)."""
    config = load("mine", preset="local", ttl="90m", port="2222", owner="ann")

    assert (5400, 2222, "ann") == (config.ttl, config.port, config.owner)


def test_lists_and_objects_arrive_as_json_text() -> None:
    """`pulumi config set --path` makes them; a host key's comment is dropped."""
    gpus = '{"name": "L4", "count": 1, "memory_mib": 23034}'

    config = load(**{**EXISTING, "host_keys": f'["{HOST_KEY} root@vm"]'}, accelerator=gpus)

    assert isinstance(config, existing.Config)
    assert (HOST_KEY,) == config.host_keys
    assert "L4" == config.accelerator.name


def test_other_namespaces_are_not_ours() -> None:
    """`gcp:project` belongs to another provider."""
    found = settings.from_pulumi("s", {"gcp:project": "p", "llm-dyno:ttl": "4h"})

    assert {"ttl": "4h"} == found.values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tll": "4h"}, "llm-dyno:tll: there is no such key (did you mean 'ttl'?)."),
        ({"zzzz": "1"}, "llm-dyno:zzzz: there is no such key."),
        ({"ttl": "soon"}, ("llm-dyno:ttl: should be a duration such as 4h, 90m or 1h30m, "
         "got 'soon'.")),
        ({"ttl": "99d"}, "llm-dyno:ttl: should be between 1m and 14d, got '99d'."),
        ({"port": "ssh"}, ("llm-dyno:port: should be a valid integer, unable to parse string as "
         "an integer, got 'ssh'.")),
        ({"port": "70000"}, ("llm-dyno:port: should be less than or equal to 65535, "
         "got '70000'.")),
        ({"cloud": "locl"}, ("llm-dyno:cloud: there is no cloud 'locl' (did you mean 'local'?); "
         "there are existing, local, mlnode.")),
        ({"preset": "../local"}, "llm-dyno:preset: there is no preset '../local'"),
        ({"preset": "lokal"}, ("llm-dyno:preset: there is no preset 'lokal' "
         "(did you mean 'local'?)")),
        ({**EXISTING, "host_keys": '["AAAA"]'}, ("llm-dyno:host_keys.0: should be a public host "
         "key")),
        ({**EXISTING, "host_keys": '["ssh-ed25519 !"]'}, "llm-dyno:host_keys.0: should be a"),
        ({**EXISTING, "host_keys": "[oops"}, "llm-dyno:host_keys: should be a valid tuple"),
        ({**EXISTING, "host_keys": "[]"}, "llm-dyno:host_keys: "),
        ({**EXISTING, "workdir": "dyno"}, "llm-dyno:workdir: "),
        ({**EXISTING, "accelerator": '{"name": "L4", "cout": 1}'},
         "llm-dyno:accelerator.cout: there is no such key"),
        ({**EXISTING, "ssh_private_key_file": "/no/such"},
         "llm-dyno:ssh_private_key_file: there is no file /no/such"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_and_key(values: dict[str, str], message: str) -> None:
    """One sentence each; what a person has to open comes first."""
    assert f"stacks/Pulumi.local.yaml: {message}" in refusal(**values)


def test_a_price_needs_source_and_date(tmp_path: Path) -> None:
    """A figure that nobody can check is refused."""
    (tmp_path / "bare.yaml").write_text("cloud: local\nttl: 4h\nprice_usd_per_hour: 3\n")
    found = settings.from_pulumi("bare", {})

    with pytest.raises(Failure, match="price_usd_per_hour: needs price_source and price_date"):
        settings.load(found, tmp_path)


def test_a_missing_key_is_named() -> None:
    """A cloud says what it needs, all at once."""
    lines = refusal(cloud="existing").splitlines()

    assert [
        f"stacks/Pulumi.local.yaml: llm-dyno:{key}: is missing; this cloud needs it."
        for key in ("address", "user", "host_keys", "workdir")
    ] == lines


def test_a_mistake_in_a_preset_names_the_preset(tmp_path: Path) -> None:
    """Not the person's own file."""
    (tmp_path / "bad.yaml").write_text("cloud: local\nttl: 4x\n")

    with pytest.raises(Failure, match=r"^stacks/presets/bad\.yaml: ttl: should be a duration"):
        settings.load(settings.from_pulumi("bad", {}), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "is not YAML"), ("- a", "should be a mapping"), ("", "should")]
)
def test_an_unreadable_preset_is_said(tmp_path: Path, text: str, message: str) -> None:
    """One sentence, no traceback."""
    (tmp_path / "bad.yaml").write_text(text)

    with pytest.raises(Failure, match=rf"^stacks/presets/bad\.yaml: {message}"):
        settings.load(settings.from_pulumi("bad", {}), tmp_path)


def test_a_secret_value_is_not_shown() -> None:
    """Only the key is named."""
    assert "hunter2" not in refusal(secret=("ttl",), ttl="hunter2")


def test_every_key_is_documented() -> None:
    """The reference page is made of the descriptions."""
    fields = {**local.Config.model_fields, **existing.Config.model_fields}

    assert len(fields) > 10
    assert [] == [name for name, field in fields.items() if not field.description]
