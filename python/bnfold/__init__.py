"""Folds every BatchNormalization that algebra allows out of an ONNX model, and proves it.

>>> model, report = bnfold.fold("model.onnx")
>>> report["verification"]["verdict"]
'equivalent'
"""

from __future__ import annotations

import json
import os
import sys

from . import _bnfold
from ._bnfold import __version__

__all__ = [
    "BnfoldError",
    "NotEquivalent",
    "NotVerified",
    "__version__",
    "check",
    "fold",
]

_WORKER = [sys.executable, "-c", "import bnfold._bnfold as b; b.serve_one()"]

_FOLDING = {
    "verify": True,
    "on_different": "refuse",
    "keep": (),
    "only": (),
    "only_batch_norm": False,
    "reduce": False,
    "compensate": False,
    "merge_branches": False,
    "max_growth": None,
    "freeze_inputs": False,
    "allow_precision_change": False,
    "dims": {},
    "samples": 3,
    "seed": 0,
    "k": 8.0,
    "floor": 8.0,
    "atol": None,
    "rtol": None,
    "timeout": None,
    "max_memory": None,
}

_POLICY = {"severity": {}, "max_scale": None, "max_spread": None}


class BnfoldError(ValueError):
    """A model that cannot be read or folded, or an argument that is wrong."""


class NotEquivalent(BnfoldError):
    """The folded model computes something else; ``report`` says where, and which fold is at fault."""

    def __init__(self, message, report):
        super().__init__(message)
        self.report = report


class NotVerified(BnfoldError):
    """It could not be told whether the folded model computes the same; ``report`` says why."""

    def __init__(self, message, report):
        super().__init__(message)
        self.report = report


def fold(model, **arguments):
    """Folds a model and gives ``(model, report)``; see ``bnfold --help`` for what the arguments mean.

    ``model`` is a path, bytes, or an ``onnx.ModelProto``. Bytes give bytes, anything else gives an
    ``onnx.ModelProto``. Raises ``NotEquivalent`` or ``NotVerified`` if the result is not proved.
    """
    options = _options("fold", arguments, _FOLDING)
    source = _source(model)
    data, audit = _call(_bnfold.fold, source, {**_POLICY, **options})
    report = audit["models"][0]["report"]
    verification = report["verification"]
    reason = verification.get("reason") or "no reason is known"
    if verification["verdict"] == "different":
        raise NotEquivalent(reason, report)
    if verification["verdict"] == "unknown":
        raise NotVerified(reason, report)
    if isinstance(model, (bytes, bytearray, memoryview)):
        return data, report
    return _proto(data, model), report


def check(models, **arguments):
    """Looks at models as ``bnfold check`` does, and gives its JSON report as a dict.

    ``models`` is a path, bytes, an ``onnx.ModelProto``, or a list of these. A model that cannot be read
    is told in its ``trouble``; ``severity`` gives codes another severity, like ``{"foldable": "off"}``.
    """
    options = _options("check", arguments, {**_FOLDING, **_POLICY})
    if not isinstance(models, (list, tuple)):
        models = [models]
    audited = []
    for model in models:
        try:
            audited += _call(_bnfold.check, _source(model), options)[0]["models"]
        except BnfoldError as error:
            if len(models) == 1:
                raise
            path = os.fspath(model) if isinstance(model, (str, os.PathLike)) else "<bytes>"
            audited.append({"path": path, "findings": [], "trouble": str(error), "report": None})
    return {"schema": "bnfold-audit/1", "version": __version__, "models": audited}


def _options(function, given, known):
    for name in given:
        if name not in known:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
    return {**known, **given}


def _source(model):
    if isinstance(model, (str, os.PathLike)):
        return os.fspath(model)
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model)
    if hasattr(model, "SerializeToString"):
        return model.SerializeToString()
    raise TypeError(f"a model is a path, bytes or an onnx.ModelProto, not {type(model).__name__}")


def _call(function, source, options):
    try:
        found = function(source, json.dumps(options), _WORKER)
    except ValueError as error:
        raise BnfoldError(str(error)) from None
    *data, audit = found if isinstance(found, tuple) else (found,)
    return (*data, json.loads(audit))


def _proto(data, model):
    import onnx

    proto = onnx.load_model_from_string(data)
    if isinstance(model, (str, os.PathLike)):
        directory = os.path.dirname(os.path.abspath(os.fspath(model)))
        onnx.load_external_data_for_model(proto, directory)
    return proto
