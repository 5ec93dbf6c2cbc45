"""Records to and from one safetensors file: numbers as tensors, all else as JSON, and nothing that can run.

The file is what the safetensors library writes. Its metadata hold ``format``, ``format_version``, ``package_version``,
``content`` (JSON) and ``sha256``, the checksum of everything else. The checksum finds damage and careless changes; it
is no signature.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.data.writing import atomic_path
from fosa_sem.errors import OptionError, SavedFileError

FORMAT_VERSION = "1"
_OWN = ("format", "format_version", "package_version", "content")

# The only classes that a file can name. "kind" tells what a JSON object stands for.
_RECORDS = {
    "GaussianRule": "fosa_sem.imputation.completion",
    "Filler": "fosa_sem.imputation.conditional",
    "CategoricalColumn": "fosa_sem.imputation.categories",
    "SoftmaxHead": "fosa_sem.imputation.probabilities",
    "PointRules": "fosa_sem.imputation.column_types",
    "ColumnTypes": "fosa_sem.imputation.column_types",
    "RefinerConfig": "fosa_sem.refine.config",
    "Scaling": "fosa_sem.refine.remasking",
    "FittedRefiner": "fosa_sem.refine.refiner",
}
Tensors = dict[str, NDArray[Any]]
T = TypeVar("T")


def save_records(path: str | os.PathLike[str], content: Mapping[str, Any], *, kind: str, package: str) -> Path:
    """Write values to a file, whole or not at all.

    Parameters
    ----------
    path : path
        Any suffix; ``.safetensors`` is usual.
    content : mapping of str to value
        None, bool, int, float, str, tuples, lists, mappings with names as keys, numeric arrays, Series, DataFrames, and
        the records of this package that are listed in this module.
    kind : str
        What the file holds, checked by `load_records`.
    package : str
        Version of the package.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OptionError
        A value is of another type (the message says where), or the place cannot be written.
    """
    from safetensors.numpy import save

    tensors: Tensors = {}
    tree = {name: _encode(value, name, tensors) for name, value in content.items()}
    text = json.dumps(tree, sort_keys=True, allow_nan=False)
    metadata = dict(zip(_OWN, (kind, FORMAT_VERSION, package, text), strict=True))
    metadata["sha256"] = _checksum(metadata, tensors)
    target = Path(path)
    with atomic_path(target) as temporary:
        temporary.write_bytes(save(tensors, metadata))
    return target


def load_records(path: str | os.PathLike[str], *, kind: str) -> dict[str, Any]:
    """Read what `save_records` wrote; no code from the file is run.

    Parameters
    ----------
    path : path
    kind : str

    Returns
    -------
    dict of str to value

    Raises
    ------
    SavedFileError
        There is no such file, it is none of ours or of another kind or version, or it was damaged or changed.
    """
    metadata, tensors = _read(Path(path))
    if metadata.get("format") != kind:
        raise SavedFileError(f"{path}: no file of {kind}; it was written by something else")
    version = metadata.get("format_version")
    if version != FORMAT_VERSION:
        raise SavedFileError(
            f"{path}: written by fosa_sem {metadata.get('package_version', '?')} in format {version}, this version "
            f"reads format {FORMAT_VERSION}; fit and save again"
        )
    if metadata.get("sha256") != _checksum(metadata, tensors):
        raise SavedFileError(f"{path}: damaged or changed after it was written (the checksum differs)")
    return reading(path, lambda: {name: _decode(v, tensors) for name, v in json.loads(metadata["content"]).items()})


def reading(path: str | os.PathLike[str], make: Callable[[], T]) -> T:
    """Run what builds objects from the content of a file.

    Raises
    ------
    SavedFileError
        The content is not what it should be, though the checksum is right.
    """
    try:
        return make()
    except SavedFileError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise SavedFileError(f"{path}: its content cannot be read ({type(error).__name__}: {error})") from error


def _read(path: Path) -> tuple[dict[str, str], Tensors]:
    from safetensors import SafetensorError, safe_open

    file = Path(os.path.expanduser(path))
    if not file.is_file():
        raise SavedFileError(f"{path}: no such file (looked in {file.absolute().parent})")
    try:
        with safe_open(file, framework="np") as opened:
            names = opened.keys()
            return dict(opened.metadata() or {}), {name: np.array(opened.get_tensor(name)) for name in names}
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SavedFileError(f"{path}: cannot be read as a safetensors file ({error})") from error


def _checksum(metadata: Mapping[str, str], tensors: Tensors) -> str:
    digest = hashlib.sha256()
    for name in _OWN:
        digest.update(f"{name}\0{metadata.get(name, '')}\0".encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _encode(value: Any, where: str, tensors: Tensors) -> Any:
    """JSON of a value; arrays go to ``tensors`` under the place they come from."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"kind": "float", "value": str(value)}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        while where in tensors:  # names may hold dots
            where += "'"
        tensors[where] = np.ascontiguousarray(value).reshape(value.shape)
        return {"kind": "array", "name": where}
    if isinstance(value, tuple | list | np.ndarray):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {"kind": kind, "items": [_encode(v, f"{where}.{i}", tensors) for i, v in enumerate(value)]}
    if isinstance(value, pd.DataFrame):
        columns = [_encode(value[c].to_numpy(), f"{where}.{i}", tensors) for i, c in enumerate(value.columns)]
        return {"kind": "frame", "names": list(map(str, value.columns)), "columns": columns}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"kind": "mapping", "items": {k: _encode(v, f"{where}.{k}", tensors) for k, v in value.items()}}
    name = type(value).__name__
    if is_dataclass(value) and _RECORDS.get(name) == type(value).__module__:
        items = {f.name: _encode(getattr(value, f.name), f"{where}.{f.name}", tensors) for f in fields(value)}
        return {"kind": "record", "class": name, "items": items}
    raise OptionError(f"{where} cannot be saved: it is an object of type {name}; numbers, strings and names can")


def _decode(tree: Any, tensors: Tensors) -> Any:
    if not isinstance(tree, dict):
        return tree
    kind = tree["kind"]
    if kind == "float":
        return float(tree["value"])
    if kind == "array":
        return tensors[tree["name"]]
    if kind in ("tuple", "list"):
        items = [_decode(item, tensors) for item in tree["items"]]
        return tuple(items) if kind == "tuple" else items
    if kind == "frame":
        columns = [_decode(column, tensors) for column in tree["columns"]]
        return pd.DataFrame(dict(zip(tree["names"], columns, strict=True)))
    items_by_name = {name: _decode(item, tensors) for name, item in tree["items"].items()}
    if kind == "mapping":
        return items_by_name
    if kind == "record":
        return getattr(import_module(_RECORDS[tree["class"]]), tree["class"])(**items_by_name)
    raise ValueError(f"{kind!r} is no kind of value")
