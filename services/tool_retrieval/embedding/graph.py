"""Builds the ONNX graph of all-MiniLM-L6-v2 from its published weights, once: no PyTorch is needed.

The graph is theirs: word, place and type embeddings, layers of attention and feed-forward, the mean over the
tokens, length 1. ``com.microsoft`` operators are onnxruntime's fused ones.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[Any]]
TYPES = {"F32": np.float32, "I64": np.int64}


def read_weights(path: Path) -> Weights:
    """Read a file of safetensors."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    found: Weights = {}
    for name, tensor in header.items():
        start, end = (8 + length + offset for offset in tensor["data_offsets"])
        found[name] = np.frombuffer(content[start:end], TYPES[tensor["dtype"]]).reshape(tensor["shape"])
    return found


class _Graph:
    """Collects the nodes and constants of a graph; each node has one output, and its name is returned."""

    def __init__(self) -> None:
        from onnx import helper, numpy_helper

        self._helper, self._numpy = helper, numpy_helper
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.append(self._numpy.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, operator: str, inputs: list[str], *, fused: bool = False, **attributes: Any) -> str:
        name = f"{operator}_{len(self.nodes)}"
        domain = "com.microsoft" if fused else ""
        self.nodes.append(self._helper.make_node(operator, inputs, [name], domain=domain, **attributes))
        return name


def build(weights: Weights, config: dict[str, Any], target: Path) -> None:
    """Write the graph in full precision to ``target``."""
    import onnx
    from onnx import TensorProto, helper

    graph = _Graph()
    epsilon = config["layer_norm_eps"]
    hidden = _embeddings(graph, weights, epsilon)
    mask = graph.node("Cast", ["attention_mask"], to=TensorProto.INT32)
    for layer in range(config["num_hidden_layers"]):
        hidden = _layer(graph, weights, layer, hidden, mask, config["num_attention_heads"], epsilon)
    _mean(graph, hidden)
    graph.nodes[-1].output[0] = "embedding"
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", config["hidden_size"]])
    ]
    whole = helper.make_graph(graph.nodes, "minilm", inputs, outputs, graph.constants)
    operators = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(whole, opset_imports=operators, ir_version=9), str(target))


def quantize(source: Path, target: Path, *, reduce_range: bool) -> None:
    """Write the graph with matrices of 8 bits, in half the time a text; of 7 for older processors, which
    add two products in 16 bits (``reduce_range``)."""
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        str(source),
        str(target),
        per_channel=True,
        reduce_range=reduce_range,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Attention"],
        extra_options={"DefaultTensorType": TensorProto.FLOAT},
    )


def _embeddings(graph: _Graph, weights: Weights, epsilon: float) -> str:
    graph.constant("words", weights["embeddings.word_embeddings.weight"])
    kinds = weights["embeddings.token_type_embeddings.weight"][0:1]
    graph.constant("places", weights["embeddings.position_embeddings.weight"] + kinds)
    for name, value in (("zero", 0), ("one", 1), ("two", 2)):
        graph.constant(name, np.array([value], np.int64))
    words = graph.node("Gather", ["words", "input_ids"])
    length = graph.node("Slice", [graph.node("Shape", ["input_ids"]), "one", "two"])
    places = graph.node("Slice", ["places", "zero", length, "zero"])
    scale = graph.constant("norm_scale", weights["embeddings.LayerNorm.weight"])
    shift = graph.constant("norm_shift", weights["embeddings.LayerNorm.bias"])
    both = graph.node("Add", [words, places])
    return graph.node("LayerNormalization", [both, scale, shift], epsilon=epsilon, axis=-1)


def _layer(
    graph: _Graph, weights: Weights, number: int, hidden: str, mask: str, heads: int, epsilon: float
) -> str:
    base = f"encoder.layer.{number}."

    def get(name: str) -> NDArray[Any]:
        return weights[base + name]

    def put(name: str, value: NDArray[Any]) -> str:
        return graph.constant(f"{name}_{number}", value)

    parts = ("query", "key", "value")
    matrix = put("qkv", np.concatenate([get(f"attention.self.{part}.weight").T for part in parts], 1))
    bias = put("qkv_bias", np.concatenate([get(f"attention.self.{part}.bias") for part in parts]))
    attended = graph.node("Attention", [hidden, matrix, bias, mask], fused=True, num_heads=heads)
    projected = graph.node("MatMul", [attended, put("out", get("attention.output.dense.weight").T)])
    first = [projected, hidden]
    first.append(put("norm1_scale", get("attention.output.LayerNorm.weight")))
    first.append(put("norm1_shift", get("attention.output.LayerNorm.bias")))
    first.append(put("out_bias", get("attention.output.dense.bias")))
    middle = graph.node("SkipLayerNormalization", first, fused=True, epsilon=epsilon)
    wide = graph.node("MatMul", [middle, put("wide", get("intermediate.dense.weight").T)])
    active = graph.node("BiasGelu", [wide, put("wide_bias", get("intermediate.dense.bias"))], fused=True)
    narrow = graph.node("MatMul", [active, put("narrow", get("output.dense.weight").T)])
    second = [narrow, middle]
    second.append(put("norm2_scale", get("output.LayerNorm.weight")))
    second.append(put("norm2_shift", get("output.LayerNorm.bias")))
    second.append(put("narrow_bias", get("output.dense.bias")))
    return graph.node("SkipLayerNormalization", second, fused=True, epsilon=epsilon)


def _mean(graph: _Graph, hidden: str) -> str:
    from onnx import TensorProto

    mask = graph.node("Cast", ["attention_mask"], to=TensorProto.FLOAT)
    mask = graph.node("Unsqueeze", [mask, "two"])
    total = graph.node("ReduceSum", [graph.node("Mul", [hidden, mask]), "one"], keepdims=0)
    count = graph.node("ReduceSum", [mask, "one"], keepdims=0)
    return graph.node("LpNormalization", [graph.node("Div", [total, count])], axis=1, p=2)
