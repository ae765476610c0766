"""The Python module against the onnx package: its checker, its reference evaluator, its helpers."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.reference
import pytest
from onnx import TensorProto, helper, numpy_helper

import bnfold

FIXTURES = Path(__file__).parents[2] / "fixtures"


def batch_norms(model):
    return sum(node.op_type == "BatchNormalization" for node in model.graph.node)


def conv_and_norm(training=False):
    """Conv, BN and Relu with seeded weights."""
    random = np.random.default_rng(0)
    tensors = {
        "w": random.normal(size=(6, 3, 3, 3)),
        "scale": random.normal(size=6),
        "b": random.normal(size=6),
        "mean": random.normal(size=6),
        "var": random.uniform(0.5, 2, size=6),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
            helper.make_node(
                "BatchNormalization",
                ["c", "scale", "b", "mean", "var"],
                ["n"],
                name="norm",
                training_mode=int(training),
            ),
            helper.make_node("Relu", ["n"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 6, 6, 6])],
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_proto_gives_a_proto_that_computes_the_same():
    original = conv_and_norm()
    folded, report = bnfold.fold(original)
    assert isinstance(folded, onnx.ModelProto)
    onnx.checker.check_model(folded, full_check=True)
    assert (batch_norms(original), batch_norms(folded)) == (1, 0)
    assert report["verification"]["verdict"] == "equivalent"
    x = np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)
    before, after = (
        onnx.reference.ReferenceEvaluator(model).run(None, {"x": x})[0]
        for model in (original, folded)
    )
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)


def test_bytes_give_bytes_and_paths_give_protos():
    path = FIXTURES / "tab_mlp.onnx"
    data, report = bnfold.fold(path.read_bytes())
    assert isinstance(data, bytes) and report["model"]["path"] == "<bytes>"
    for given in (path, str(path)):
        proto, report = bnfold.fold(given)
        assert proto == onnx.load_model_from_string(data)
        assert report["model"]["path"] == str(path)


def test_external_data_comes_with_the_result(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(
        conv_and_norm(),
        path,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    folded, _ = bnfold.fold(path)
    inline, _ = bnfold.fold(conv_and_norm())
    tensors = [
        {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        for model in (folded, inline)
    ]
    assert tensors[0].keys() == tensors[1].keys()
    for name, array in tensors[0].items():
        np.testing.assert_array_equal(array, tensors[1][name])


def test_nodes_can_be_kept_and_the_report_says_why():
    folded, report = bnfold.fold(conv_and_norm(), keep=["norm"])
    assert batch_norms(folded) == 1
    assert report["batch_norms"][0]["reasons"][0]["code"] == "held"


def test_a_result_that_is_not_proved_raises_with_the_report():
    with pytest.raises(bnfold.NotEquivalent) as different:
        bnfold.fold(conv_and_norm(), atol=0.0, rtol=0.0)
    assert different.value.report["at_fault"]["node"] == "norm"
    with pytest.raises(bnfold.NotVerified) as unknown:
        bnfold.fold(conv_and_norm(), timeout=0.0)
    assert "outlived" in str(unknown.value)
    folded, report = bnfold.fold(conv_and_norm(), atol=0.0, rtol=0.0, on_different="rollback")
    assert batch_norms(folded) == 1 and report["rolled_back"][0]["node"] == "norm"


def test_verification_can_be_turned_off():
    folded, report = bnfold.fold(conv_and_norm(), verify=False)
    assert batch_norms(folded) == 0
    assert report["verification"]["verdict"] == "skipped"


def test_check_tells_findings_and_trouble():
    audit = bnfold.check([conv_and_norm(), conv_and_norm(training=True), "/no/such/model.onnx"])
    codes = [[finding["code"] for finding in model["findings"]] for model in audit["models"]]
    assert codes == [["foldable"], ["training-batch-norm"], []]
    assert "/no/such/model.onnx" in audit["models"][2]["trouble"]
    quiet = bnfold.check(conv_and_norm(), severity={"foldable": "off"})
    assert quiet["models"][0]["findings"] == []
    assert json.dumps(audit)


@pytest.mark.parametrize(
    "call, error, part",
    [
        (lambda: bnfold.fold(b"\x08"), bnfold.BnfoldError, "<bytes>"),
        (lambda: bnfold.fold("/no/such/model.onnx"), bnfold.BnfoldError, "/no/such/model.onnx"),
        (lambda: bnfold.fold(3), TypeError, "onnx.ModelProto"),
        (lambda: bnfold.fold(b"", kep=["x"]), TypeError, "kep"),
        (lambda: bnfold.fold(b"", samples=0), bnfold.BnfoldError, "samples"),
        (lambda: bnfold.fold(b"", dims={"N": "four"}), bnfold.BnfoldError, "four"),
        (lambda: bnfold.check(b"", severity={"fatal": "off"}), bnfold.BnfoldError, "fatal"),
        (lambda: bnfold.fold(conv_and_norm(), keep=["["]), bnfold.BnfoldError, "["),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(call, error, part):
    with pytest.raises(error) as raised:
        call()
    assert part in str(raised.value)
    assert "\n" not in str(raised.value)
