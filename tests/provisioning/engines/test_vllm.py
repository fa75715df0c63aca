"""vLLM as a program of the host and in a container."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioning import engines, recipe
from provisioning.command import Secret
from provisioning.engines.base import API_KEY, PORT, Mount, ProcessSpec, Site, Weights
from provisioning.errors import UsageError
from provisioning.recipe_schema import Recipe

KEY = Secret("k3y-k3y-k3y-k3y")
HOME = "/data/models"
WEIGHTS = Weights(f"{HOME}/hub/models--o--m/snapshots/abc", HOME, "abc")
SITE = Site("/usr/bin/python3", "/w/a.pyz", KEY, "/data/environments/e", WEIGHTS)
IMAGE = "engine.container={image: 'i/v:1', runtime: nvidia, ipc_host: true, entrypoint: python3}"
OLD = "engine.command=[-m, vllm.entrypoints.openai.api_server]"


def of(*changes: str) -> Recipe:
    plain = ["model.name=o/m", "engine.name=vllm", "engine.args={max_num_seqs: 8}"]
    return recipe.load("rehearsal", [*plain, *changes])


def made(*changes: str, site: Site = SITE) -> ProcessSpec:
    return engines.load("vllm").spec(of(*changes), site)


def refused(*changes: str, site: Site = SITE) -> str:
    with pytest.raises(UsageError) as caught:
        made(*changes, site=site)
    return str(caught.value)


def test_it_runs_from_the_environment_of_the_recipe() -> None:
    """The whole command: the commit that was downloaded, on loopback, at the launcher's port."""
    line = "/data/environments/e/bin/vllm serve o/m --revision abc --host 127.0.0.1 --port {port} "
    line += "--tensor-parallel-size 1 --max-num-seqs 8"

    spec = made()

    assert tuple(line.split()) == spec.argv
    assert (1, None, None) == (spec.argv.count(PORT), spec.port, spec.container)
    assert spec.env["PATH"].startswith("/data/environments/e/bin:/usr/local/cuda/bin:")


def test_it_is_offline_and_reports_to_nobody() -> None:
    """The model is in the cache on the host; no hub is asked."""
    env = made().env
    wanted = {"HF_HOME": HOME, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    wanted |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    assert wanted.items() <= env.items()


def test_its_key_is_a_secret_and_nowhere_else() -> None:
    """In the environment, by the name that vLLM reads, and asked for by the first question."""
    spec = made(IMAGE, OLD)
    assert {API_KEY: KEY} == spec.secret_env
    assert "k3y" not in f"{spec.argv}{spec.env}{spec.container}"
    assert "/v1/models" == spec.ready_path


def test_layout_and_context_are_of_the_recipe() -> None:
    """TP always, PP and DP where there are several."""
    layout = "layout={tensor_parallel: 4, pipeline_parallel: 2, data_parallel: 3}"
    line = " ".join(made(layout, "model.max_model_len=4096").argv)
    wanted = "--tensor-parallel-size 4 --pipeline-parallel-size 2 --data-parallel-size 3 "
    assert f"{wanted}--max-model-len 4096 --max-num-seqs 8" in line


def test_a_folder_is_served_under_the_models_name() -> None:
    """It has no commit, and belongs to no cache."""
    spec = made("model.path=/srv/m", site=replace(SITE, weights=Weights("/srv/m")))
    assert ("serve", "/srv/m", "--served-model-name", "o/m", "--host") == spec.argv[1:6]
    assert not {"--revision"} & set(spec.argv)
    assert "HF_HOME" not in spec.env


def test_another_command_is_looked_for_in_the_environment() -> None:
    """The older server takes the model as an option."""
    argv = made("engine.command=[python3, -m, vllm.entrypoints.openai.api_server]").argv
    assert "/data/environments/e/bin/python3" == argv[0]
    assert ("--model", "o/m") == argv[3:5]


def test_a_command_with_a_path_needs_no_environment() -> None:
    """Somebody's own vLLM on the host."""
    spec = made("engine.command=[/opt/v/bin/vllm, serve]", site=replace(SITE, environment=None))
    assert ("/opt/v/bin/vllm", "serve", "o/m") == spec.argv[:3]
    assert "PATH" not in spec.env


def test_without_any_vllm_the_recipe_is_refused() -> None:
    """It says where it could come from."""
    assert "host.python.packages" in refused(site=replace(SITE, environment=None))


def test_each_instance_sees_its_own_gpus() -> None:
    """And what GPUs need on this host; what the recipe says of that stands above it."""
    site = replace(SITE, gpus=("GPU-a", "GPU-b"), gpu_env={"NCCL_P2P_DISABLE": "1", "A": "1"})
    env = made("engine.env={A: 2}", site=site).env
    assert ("GPU-a,GPU-b", "1", "2") == (
        env["CUDA_VISIBLE_DEVICES"],
        env["NCCL_P2P_DISABLE"],
        env["A"],
    )


def test_a_recipe_may_choose_the_gpu_itself_for_one_instance() -> None:
    """Old releases cannot read the UUID of a MIG slice."""
    own = "engine.env.CUDA_VISIBLE_DEVICES='0'"
    assert "0" == made(own, site=replace(SITE, gpus=("MIG-x",))).env["CUDA_VISIBLE_DEVICES"]
    assert "the same GPUs" in refused(own, "layout.instances=2")


def test_what_is_compiled_is_kept_for_the_next_start() -> None:
    """Below the host's folder for that, as the container sees it."""
    site = replace(SITE, cache="/data/cache")
    inside = made(IMAGE, OLD, site=site)
    assert "/data/cache/vllm" == made(site=site).env["VLLM_CACHE_ROOT"]
    assert "/dyno-cache/vllm" == inside.env["VLLM_CACHE_ROOT"]
    assert inside.container
    assert Mount("/data/cache", "/dyno-cache") in inside.container.mounts


def test_a_container_has_the_images_server_and_the_hosts_model() -> None:
    """The cache is where the recipe wants it in there, and cannot be changed."""
    site = replace(SITE, image="i/v@sha256:1", gpus=("GPU-a",))

    spec = made(IMAGE, OLD, site=site)

    line = "-m vllm.entrypoints.openai.api_server --model o/m --revision abc --host 0.0.0.0 "
    assert " ".join(spec.argv).startswith(f"{line}--port {PORT} --tensor-parallel-size 1")
    box = spec.container
    assert box
    assert ("i/v@sha256:1", 8000, "python3", "nvidia", True, ("GPU-a",)) == (
        *(box.image, box.port, box.entrypoint, box.runtime, box.ipc_host, box.gpus),
    )
    assert (Mount(HOME, "/root/.cache/huggingface", read_only=True),) == box.mounts
    assert "/root/.cache/huggingface" == spec.env["HF_HOME"]
    assert not {"PATH", "CUDA_VISIBLE_DEVICES"} & spec.env.keys()


def test_the_images_own_entry_point_takes_the_model_as_an_option() -> None:
    """Whichever of the two servers it is; `vllm serve` by name takes it as its first word."""
    own = "engine.container={image: 'i/v:1'}"
    assert ("--model", "o/m") == made(own).argv[:2]
    assert ("vllm", "serve", "o/m") == made(own, "engine.command=[vllm, serve]").argv[:3]


def test_a_folder_is_mounted_for_a_container() -> None:
    """Read only, at a place of its own."""
    spec = made(IMAGE, OLD, "model.path=/srv/m", site=replace(SITE, weights=Weights("/srv/m")))
    assert spec.container
    assert (Mount("/srv/m", "/model", read_only=True),) == spec.container.mounts
    assert ("--model", "/model", "--served-model-name", "o/m") == spec.argv[2:6]


def test_what_the_launcher_needs_is_handed_on() -> None:
    """Port, restart, limits and patience."""
    changes = "engine.port=8123", "engine.restart=on-failure", "host.limits={memlock: unlimited}"
    spec = made(*changes, "timeouts.stop_s=7")
    assert (8123, "on-failure", {"memlock": "unlimited"}, 7.0) == (
        *(spec.port, spec.restart, spec.limits, spec.stop_grace_s),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("revision=abc", "engine.args.revision is not set here; set model.revision."),
        ("served-model-name=x", "served-model-name is not set here; set model.name."),
        ("download_dir=/x", "download_dir is not set here"),
        ("ssl_keyfile=/x", "ssl_keyfile is not set here"),
        ("middleware=x.y", "middleware is not set here"),
        ("config=/x", "config is not set here"),
        ("uds=/x", "uds is not set here"),
        ("tensor_paral=2", "tensor_paral is not set here; set layout.tensor_parallel."),
        ("hos=0.0.0.0", "hos is not set here"),
        ("--max-num-seqs=3", "--max-num-seqs: no name of an argument. Write"),
        ("'host=0.0.0.0'=true", "no name of an argument"),
        ("lora_modules=[a, --host, 0.0.0.0]", "lora_modules: a value that begins with -"),
        ("dtype=-h", "dtype: a value that begins with -"),
    ],
)
def test_an_argument_that_is_not_the_recipes_is_refused(change: str, message: str) -> None:
    """By its name, the beginning of it, or as the value of another."""
    assert message in refused(f"engine.args.{change}")


@pytest.mark.parametrize(
    "value", [{"seed": -1}, {"tokenizer": "x"}, {"enable_prefix_caching": False}, {"x": None}]
)
def test_all_other_arguments_are_free(value: dict[str, Any]) -> None:
    """Negative numbers, and the whole name of one that another begins with."""
    spec = engines.load("vllm").spec(of(f"engine.args={value}".replace("None", "null")), SITE)
    assert "--tensor-parallel-size" in spec.argv


@pytest.mark.parametrize("name", ["HF_HOME", "HF_HUB_OFFLINE", "VLLM_CACHE_ROOT", "VLLM_PORT"])
def test_an_environment_that_is_not_the_recipes_is_refused(name: str) -> None:
    """It would undo what a run rests on."""
    assert f"engine.env.{name} is not set here" in refused(f"engine.env.{name}=x")


def test_a_model_that_is_in_the_image_needs_no_mount() -> None:
    """Nothing was downloaded to the host."""
    spec = made(IMAGE, OLD, site=replace(SITE, weights=None))
    assert spec.container
    assert ((), False) == (spec.container.mounts, "HF_HOME" in spec.env)
