"""Holds what bnfold writes against onnx's checker, ONNX Runtime and onnx's reference evaluator.

Usage: compare.py BNFOLD CASES

CASES is the folder that `BNFOLD_CASES=CASES cargo test --test random_models cases_for` writes:
per case a model, inputs, and the outputs of bnfold's reference executor in float64, which are the truth.

For each case the program folds the model without verifying it (this is the oracle), and
- the checker, with full and strict shape inference, must accept the result if it accepts the model;
- ONNX Runtime with its optimisations off, and the reference evaluator, must be as close to the truth on the
  result as on the model: err(result) <= 8*err(model) + 8*u*max|truth| in the largest and the RMS error,
  where u is half the distance of 1 to its successor in the output's type.
  err(model) is the worst of the model itself and of the model with its weights moved by a rounding,
  since a fold rounds each weight once.

What a runtime cannot load or run on the model itself is skipped and counted by reason.
"""

import collections
import concurrent.futures
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

import ml_dtypes
import numpy
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator

K = FLOOR = 8.0
MOVES = 3
CHECKS = ("checker", "ONNX Runtime", "reference evaluator")

# Disagreements that are a runtime's: (case, check) -> what the runtime does.
KNOWN: dict[tuple[str, str], str] = {}


def unit(dtype):
    return float(ml_dtypes.finfo(dtype).eps) / 2


def tensor(path):
    proto = onnx.TensorProto()
    proto.ParseFromString(path.read_bytes())
    return proto.name, onnx.numpy_helper.to_array(proto)


def numbered(folder, stem):
    return [tensor(path) for path in sorted(folder.glob(f"{stem}_*.pb"), key=lambda p: int(re.findall(r"\d+", p.stem)[-1]))]


def reason(error):
    """A message without names and numbers, so that equal reasons are counted together."""
    text = " ".join(str(error).split())
    found = re.search(r"NOT_IMPLEMENTED : (?:Could not find an implementation for )?(\w+\(\d+\))", text)
    if found:
        return f"no kernel for {found[1]}"
    found = re.search(r"(?:running|Running) (\w+) node", text)
    if found:
        return f"{found[1]} does not run"
    return f"{type(error).__name__}: " + re.sub(r"[\w./]*\d[\w./]*", "#", text)[:100]


def runtime(model):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    names = [output.name for output in session.get_outputs()]

    def run(inputs):
        values = {name: onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(as_bits(value), element(value)) for name, value in inputs}
        outputs = session.run_with_ort_values(names, values)
        return [from_bits(output) for output in outputs]

    return run


def element(value):
    return onnx.helper.np_dtype_to_tensor_dtype(value.dtype)


def as_bits(value):
    return value.view(numpy.uint16) if value.dtype == ml_dtypes.bfloat16 else value


def from_bits(output):
    array = output.numpy()
    return array.view(ml_dtypes.bfloat16) if output.element_type() == onnx.TensorProto.BFLOAT16 else array


def evaluator(model):
    evaluator = ReferenceEvaluator(model)

    def run(inputs):
        with warnings.catch_warnings(), numpy.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return evaluator.run(None, dict(inputs))

    return run


def moved(model, seed):
    """The model with each stored float moved at random by up to a rounding."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    random = numpy.random.default_rng(seed)

    def move(proto):
        try:
            array = onnx.numpy_helper.to_array(proto)
            step = unit(array.dtype)
        except (TypeError, ValueError):
            return
        wobble = 1 + random.uniform(-step, step, array.shape) * 2
        away = (array.astype(numpy.float64) * wobble).astype(array.dtype)
        proto.CopyFrom(onnx.numpy_helper.from_array(away, proto.name))

    def graph(graph):
        for proto in graph.initializer:
            move(proto)
        nodes(graph.node)

    def nodes(nodes):
        for node in nodes:
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    graph(attribute.g)
                elif attribute.type == onnx.AttributeProto.TENSOR:
                    move(attribute.t)

    graph(model.graph)
    for function in model.functions:
        nodes(function.node)
    return model


def errors(outputs, truth):
    """The largest and the RMS error of each output."""
    pairs = []
    for output, (_, expected) in zip(outputs, truth, strict=True):
        if numpy.shape(output) != expected.shape:
            raise ValueError(f"shape {numpy.shape(output)}, not {expected.shape}")
        difference = numpy.abs(numpy.asarray(output).astype(numpy.float64) - expected)
        pairs.append((difference.max(initial=0.0), numpy.sqrt(numpy.mean(difference**2)) if difference.size else 0.0))
    return pairs


def excess(own, found, outputs, truth):
    """The first output that is further off than it may be."""
    for at, ((name, expected), output) in enumerate(zip(truth, outputs, strict=True)):
        floor = FLOOR * unit(numpy.asarray(output).dtype) * numpy.abs(expected).max(initial=0.0)
        for kind, mine, theirs in zip(("largest", "RMS"), own[at], found[at], strict=True):
            if not theirs <= K * mine + floor:
                return f"{name}: {kind} error {theirs:.3g}, of the model {mine:.3g}, floor {floor:.3g}"
    return None


def agree(open_model, model, result, inputs, truth):
    """None if the result is as close to the truth as the model is; skips raise Skipped."""
    try:
        outputs = open_model(model)(inputs)
    except Exception as error:  # Whatever a runtime raises, it does not run the model.
        raise Skipped(reason(error)) from error
    if [numpy.shape(output) for output in outputs] != [expected.shape for _, expected in truth]:
        raise Skipped("the model itself gives other shapes than the truth")
    own = errors(outputs, truth)
    if not all(numpy.isfinite(pair).all() for pair in own):
        raise Skipped("the model itself gives no finite numbers")
    # An error this large hides whatever a rewrite does.
    for (name, expected), pair in zip(truth, own, strict=True):
        if pair[1] > 0.05 * numpy.sqrt(numpy.mean(expected**2)):
            raise Skipped("the model itself is off the truth by more than 5 %")
    outputs = open_model(result)(inputs)
    found = errors(outputs, truth)
    what = excess(own, found, outputs, truth)
    for seed in range(MOVES):
        if what is None:
            break
        also = errors(open_model(moved(model, seed))(inputs), truth)
        own = [tuple(map(max, a, b)) for a, b in zip(own, also, strict=True)]
        what = excess(own, found, outputs, truth)
    return what


class Skipped(Exception):
    pass


def check(model, result, inputs, truth):
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        raise Skipped(reason(error)) from error
    onnx.checker.check_model(result, full_check=True)


def case(arguments):
    """What each check says of a case: (check, passed | skipped | failed, what)."""
    program, folder = arguments
    inputs, truth = numbered(folder, "input"), numbered(folder, "truth")
    with tempfile.TemporaryDirectory() as desk:
        target = pathlib.Path(desk, "result.onnx")
        done = subprocess.run(
            [program, folder / "model.onnx", "--no-verify", "-o", target],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            return folder.name, [("bnfold", "failed", done.stderr.strip())]
        model, result = onnx.load(folder / "model.onnx"), onnx.load(target)
    checks = (
        check,
        lambda *of: agree(runtime, *of),
        lambda *of: agree(evaluator, *of),
    )
    said = []
    for name, holds in zip(CHECKS, checks, strict=True):
        try:
            what = holds(model, result, inputs, truth)
        except Skipped as skipped:
            said.append((name, "skipped", str(skipped)))
            continue
        except Exception as error:  # The model runs and the result does not.
            what = reason(error)
        if what is None:
            said.append((name, "passed", ""))
        else:
            known = KNOWN.get((folder.name, name))
            said.append((name, "known" if known else "failed", known or what))
    return folder.name, said


def main():
    program, cases = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    folders = sorted(folder for folder in cases.iterdir() if (folder / "model.onnx").exists())
    counts = collections.Counter()
    reasons = collections.defaultdict(collections.Counter)
    failures = []
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        for name, said in pool.map(case, ((program, folder) for folder in folders), chunksize=4):
            for of, outcome, what in said:
                counts[of, outcome] += 1
                if outcome in ("skipped", "known"):
                    reasons[of][f"{outcome}: {what}"] += 1
                if outcome == "failed":
                    failures.append(f"{name}: {of}: {what}")
    print("| check | passed | skipped | known | failed |\n|---|---|---|---|---|")
    for of in ("bnfold", *CHECKS):
        row = [counts[of, outcome] for outcome in ("passed", "skipped", "known", "failed")]
        if any(row):
            print(f"| {of} | " + " | ".join(map(str, row)) + " |")
    for of, why in reasons.items():
        print(f"\n{of}:")
        for what, count in why.most_common():
            print(f"- {count} {what}")
    for failure in failures:
        print(failure)
    passed = sum(count for (_, outcome), count in counts.items() if outcome == "passed")
    print(f"{len(folders)} cases, {passed} passed, {len(failures)} failed")
    return 1 if failures or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
