"""What a type checker must accept."""

from typing import Any

from onnx import ModelProto

import bnfold


def folded(path: str, data: bytes, proto: ModelProto) -> tuple[ModelProto, bytes, ModelProto]:
    from_path, report = bnfold.fold(path, keep=["/head/*"], dims={"batch": 2})
    from_bytes, _ = bnfold.fold(data, on_different="rollback")
    from_proto, _ = bnfold.fold(proto, verify=False)
    verdict: Any = report["verification"]["verdict"]
    print(verdict, bnfold.check([path, data, proto], severity={"foldable": "off"}))
    return from_path, from_bytes, from_proto
