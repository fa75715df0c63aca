"""Pins: the versions and numbers that hosts are held to. A change here can move a number."""

from __future__ import annotations

MIN_PYTHON = (3, 10)  # what the agent needs on a host
NEWEST_PYTHON = (3, 15)  # the last python3.x that is looked for on PATH

#: Engine ports are picked from here: below Linux's ephemeral range (32768 on), so that no
#: outgoing connection of the load takes the port while the engine is still loading.
ENGINE_PORTS = range(20000, 32000)

#: The tool that downloads models on a host. 1.17 is the last that goes on within a file where a
#: killed one stopped; from 1.18 on each process begins its partial files anew.
HUB_TOOL = ("huggingface_hub==1.17.0", "httpx==0.28.1")

#: The second opinion of compressa-perf, and what decides how it measures.
COMPRESSA = "0.2.8"
COMPRESSA_WITH = ("openai==1.109.1", "httpx==0.28.1", "pandas==2.3.3")

#: What makes models out of others, and what decides how: it follows each of them closely.
CONVERTER = (
    "llmcompressor==0.14.0.1",
    "compressed-tensors==0.19.0",
    "transformers==5.17.0",
    "torch==2.14.0",
)

#: Whom the makers' own package archives are signed by: fingerprints of OpenPGP keys.
DOCKER_KEY = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"
NVIDIA_TOOLKIT_KEY = "C95B321B61E88C1809C4F759DDCAE044F796ECB0"
NVIDIA_CUDA_KEY = "EB693B3035CD5710E231E123A4B469963BF863CC"

#: What makes virtual environments on hosts, and the hashes of its wheels, by processor.
UV = "0.13.5"
UV_HASHES = {
    "x86_64": "fa8d26e08e34c29c0c4e820cf3181757086d547240b4f4d31ff1d8bd810ca946",
    "aarch64": "91e58e304b63b6c91bac5561459ab0c3ea24f17bc01ea9359d69fed72142978f",
}
