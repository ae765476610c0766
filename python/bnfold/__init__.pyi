from os import PathLike
from typing import Any, Literal, Mapping, Sequence, TypedDict, Union, overload

from onnx import ModelProto
from typing_extensions import Unpack

__version__: str

_Path = Union[str, "PathLike[str]"]
_Model = Union[_Path, bytes, ModelProto]

class _Folding(TypedDict, total=False):
    verify: bool
    on_different: Literal["refuse", "rollback"]
    keep: Sequence[str]
    only: Sequence[str]
    only_batch_norm: bool
    reduce: bool
    compensate: bool
    merge_branches: bool
    max_growth: Union[int, None]
    freeze_inputs: bool
    allow_precision_change: bool
    dims: Mapping[str, int]
    samples: int
    seed: int
    k: float
    floor: float
    atol: Union[float, None]
    rtol: Union[float, None]
    timeout: Union[float, None]
    max_memory: Union[int, None]

class _Checking(_Folding, total=False):
    severity: Mapping[str, Literal["off", "note", "warning", "error"]]
    max_scale: Union[float, None]
    max_spread: Union[float, None]

class BnfoldError(ValueError): ...

class NotEquivalent(BnfoldError):
    report: dict[str, Any]

class NotVerified(BnfoldError):
    report: dict[str, Any]

@overload
def fold(
    model: Union[_Path, ModelProto], **arguments: Unpack[_Folding]
) -> tuple[ModelProto, dict[str, Any]]: ...
@overload
def fold(model: bytes, **arguments: Unpack[_Folding]) -> tuple[bytes, dict[str, Any]]: ...
def check(
    models: Union[_Model, Sequence[_Model]], **arguments: Unpack[_Checking]
) -> dict[str, Any]: ...
