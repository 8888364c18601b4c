"""Named arrays out of `.safetensors`, `.npz` and `.pth` files, without running what they hold."""

from __future__ import annotations

import hashlib
import io
import math
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..runs import UsageError

_LARGEST_PICKLE = 2**24  # bytes; that of ResNet-152 has 10^5

# What torch calls them, and what NumPy calls what they hold (bfloat16: the upper half of a float).
_TORCH = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_SAFETENSORS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "bfloat16",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def read_state(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file of weights, bfloat16 as float32.

    Nothing that such a file holds is executed: of a `.pth` file only tensors in a dictionary are
    known, all else is refused.

    Args:
        path: A file that ends in `.safetensors`, `.npz`, `.pth` or `.pt`.

    Raises:
        UsageError: If the file is missing, of another kind, damaged, or holds anything else.
    """
    readers: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {
        ".safetensors": _read_safetensors,
        ".npz": _read_npz,
        ".pth": _read_pth,
        ".pt": _read_pth,
    }
    if path.suffix not in readers:
        raise refused(path, f"must end in one of {', '.join(readers)}")
    if not path.is_file():
        raise refused(path, "must be a file", "there is none")
    return readers[path.suffix](path)


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file of weights.

    Raises:
        UsageError: If there is none.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise refused(path, "must be a file", f"cannot be read ({_short(error)})") from None


def refused(path: Path, must: str, but: str = "") -> UsageError:
    """Return the error of a file that cannot be used."""
    return UsageError(f"Weights {str(path)!r} {must}{f', but {but}' if but else ''}.")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        import safetensors
    except ImportError:
        raise UsageError(
            "Weights in .safetensors files must be read with the package safetensors, which is "
            "missing: pip install 'analogjax[weights]'."
        ) from None
    try:
        entries = safetensors.deserialize(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise refused(path, "must be a whole safetensors file", str(error)) from None
    found = {}
    for name, entry in entries:
        if entry["dtype"] not in _SAFETENSORS:
            raise refused(path, "must hold numbers", f"{name} is of dtype {entry['dtype']}")
        # Lengths and bounds have been checked by the library.
        found[name] = _numbers(entry["data"], _SAFETENSORS[entry["dtype"]]).reshape(entry["shape"])
    return found


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # whatever a damaged or hostile archive leads to
        raise refused(path, "must be an .npz archive of arrays", _short(error)) from None


def _numbers(data: bytes | bytearray, dtype: str) -> np.ndarray:
    if dtype == "bfloat16":
        upper = np.frombuffer(data, "<u2").astype("<u4")
        return (upper << 16).view("<f4")
    return np.frombuffer(data, dtype)


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".removesuffix(".")


# torch.save


class _Storage(NamedTuple):
    """One file of numbers in the archive."""

    key: str
    dtype: str
    size: int


class _Tensor(NamedTuple):
    """A tensor as it is described; nothing in it has been checked."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any


class _StateDict(dict):
    """Stands for OrderedDict, whose attributes (torch's `_metadata`) are dropped."""

    def __setstate__(self, state: Any) -> None:
        pass


class _Function:
    """A function that a pickle may call; made anew for each file, so that none can change it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


class _Refused(Exception):
    """The pickle asks for what it may not have; the message says for what."""


class _Unpickler(pickle.Unpickler):
    """Knows tensors, their storages and dictionaries. Every other name is refused, not imported."""

    def __init__(self, data: bytes):
        super().__init__(io.BytesIO(data))
        self._known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): _Function(lambda *items: _StateDict(*items)),
            ("torch._utils", "_rebuild_tensor_v2"): _Function(
                lambda storage, offset, shape, strides, *_: _Tensor(storage, offset, shape, strides)
            ),
            ("torch._utils", "_rebuild_parameter"): _Function(lambda tensor, *_: tensor),
            # Plain text: nothing that could be called.
            **{("torch", name): dtype for name, dtype in _TORCH.items()},
        }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return self._known[module_name, global_name]
        except KeyError:
            raise _Refused(f"it asks for {module_name}.{global_name}") from None

    def persistent_load(self, pid: Any, /) -> _Storage:
        # ("storage", class, key, device, number of elements)
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise _Refused("it refers to something that is no storage")
        _, dtype, key, _, size = pid
        if dtype not in _TORCH.values() or not isinstance(key, str) or not _whole(size):
            raise _Refused("it holds a storage that torch does not write")
        return _Storage(key, dtype, size)


def _whole(*values: Any) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def _read_pth(path: Path) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise refused(
            path,
            "must be a zip archive, as torch.save has written since version 1.6",
            "is none: read it with torch.load(FILE, weights_only=True) and save it again",
        )
    must = "must be a plain dictionary of tensors as torch.save writes it"
    try:
        with zipfile.ZipFile(path) as archive:
            return _tensors(archive)
    except _Refused as error:
        raise refused(path, must, str(error)) from None
    except Exception as error:  # whatever a damaged or hostile pickle leads to
        raise refused(path, must, f"it cannot be read ({_short(error)})") from None


def _tensors(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    pickles = [name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
    if len(pickles) != 1:
        raise _Refused(f"it holds {len(pickles)} files data.pkl")
    base = pickles[0].removesuffix("data.pkl")

    def read(name: str, most: int) -> bytes:
        info = archive.getinfo(base + name)
        # torch compresses nothing; a little that unpacks to very much is an attack.
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > most:
            raise _Refused(f"its part {name} is packed or too large")
        return archive.read(info)

    if base + "byteorder" in archive.namelist() and read("byteorder", 16) != b"little":
        raise _Refused("its numbers are big-endian")
    state = _Unpickler(read("data.pkl", _LARGEST_PICKLE)).load()
    if not isinstance(state, Mapping):
        raise _Refused("it holds something else")
    storages: dict[_Storage, np.ndarray] = {}
    found = {}
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise _Refused(f"its entry {str(name)[:80]!r} is no tensor")
        storage, offset, shape, strides = tensor
        good = isinstance(storage, _Storage) and isinstance(shape, tuple)
        if not (good and isinstance(strides, tuple) and _whole(offset, *shape, *strides)):
            raise _Refused(f"its tensor {name} is malformed")
        if storage not in storages:
            size = 2 if storage.dtype == "bfloat16" else np.dtype(storage.dtype).itemsize
            data = read(f"data/{storage.key}", storage.size * size)
            if len(data) != storage.size * size:
                raise _Refused(f"the numbers of its tensor {name} are cut off")
            storages[storage] = _numbers(data, storage.dtype)
        numbers = storages[storage]
        count = math.prod(shape)
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        # Not more than there is, so that no stride of 0 makes little look like very much.
        if count > numbers.size or (count and last >= numbers.size):
            raise _Refused(f"its tensor {name} reaches beyond its numbers")
        steps = [step * numbers.itemsize for step in strides]
        found[name] = np.lib.stride_tricks.as_strided(
            numbers[offset:], shape, steps, writeable=False
        ).copy()
    return found
