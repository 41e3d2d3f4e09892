"""What a GGUF file says of itself: its metadata and its table of tensors, read before any value is.

The header is read with the standard library alone, so that a download can look at it. Nothing in it is run.
The layout is that of the GGUF specification, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fourier_addition.errors import UserError

SUFFIX = ".gguf"
SPLIT = re.compile(r".*-\d{5}-of-\d{5}\.gguf")
VERSIONS = (2, 3)
ALIGNMENT = 32
"""Bytes that the data of a tensor is aligned to, where the file says nothing else."""

TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
}
"""Number of a type in the file -> its name, values in a block, bytes of a block."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONGEST = 2**31
"""No string and no array of an undamaged file is longer; a larger count would fill the memory."""


@dataclass(frozen=True)
class GgufTensor:
    """One tensor of the file: its name, its shape as torch orders it, its type, and where its bytes lie."""

    name: str
    shape: tuple[int, ...]
    type: int
    start: int
    bytes: int


@dataclass(frozen=True)
class GgufHeader:
    """Metadata and tensors of a GGUF file.

    architecture: `general.architecture`. metadata: key -> value; arrays are lists. tensors: in the order of
    the file.
    """

    file: Path
    architecture: str
    metadata: Mapping[str, Any]
    tensors: tuple[GgufTensor, ...]

    def types(self) -> dict[str, int]:
        """Name of a type -> how many tensors have it."""
        names = sorted(TYPES[tensor.type][0] for tensor in self.tensors)
        return {name: names.count(name) for name in dict.fromkeys(names)}


def read_header(file: Path, where: str = "") -> GgufHeader:
    """Read and check the header of a GGUF file.

    where: the model, for messages; the path of the file where it is left out. Raises UserError for a file
    that is no GGUF, of another version or byte order, a part of a split model, truncated, or with a tensor
    of a type that cannot be dequantised.
    """
    shown = f"{where}: {file.name}" if where else str(file)
    size = file.stat().st_size
    with file.open("rb") as stream:
        try:
            count = _start(stream, shown)
            metadata = _metadata(stream, count[1])
            table = [_entry(stream) for _ in range(count[0])]
        except (struct.error, EOFError) as error:
            raise UserError(f"{shown} is truncated: its {size} bytes end inside its header.") from error
        except (ValueError, OverflowError) as error:
            raise UserError(f"{shown} is damaged: its header cannot be read ({error}).") from error
        end = stream.tell()

    # What it is: a whole model of a stated architecture.
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or not table:
        raise UserError(f"{shown} states no architecture or holds no tensor, so it holds no model.")
    parts = metadata.get("split.count", 1)
    if parts > 1:
        raise UserError(
            f"{shown} is one of {parts} parts of a split model: join them first (llama-gguf-split --merge)."
        )

    # Where every tensor lies: inside the file, each with a type that can be read.
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise UserError(f"{shown} is damaged: general.alignment is {alignment!r}.")
    data = math.ceil(end / alignment) * alignment
    tensors = tuple(_placed(entry, data, shown) for entry in table)
    needed = max(tensor.start + tensor.bytes for tensor in tensors)
    if needed > size:
        raise UserError(f"{shown} is truncated: {size} bytes, its header says {needed}.")
    return GgufHeader(file, architecture, metadata, tensors)


def refuse_split(where: str, name: str) -> None:
    """Raise UserError where a file's name says that it is one part of a split GGUF."""
    if SPLIT.fullmatch(name):
        raise UserError(
            f"{where}: {name} is one part of a split GGUF, which cannot be read: join the parts"
            " (llama-gguf-split --merge), or name a file that is whole."
        )


def _start(stream: IO[bytes], shown: str) -> tuple[int, int]:
    """Tensors and metadata entries of the file. Raises UserError for a file of another kind."""
    magic = stream.read(4)
    if magic != b"GGUF":
        raise UserError(f"{shown} is no GGUF file: it begins with {magic!r} instead of b'GGUF'.")
    (version,) = struct.unpack("<I", stream.read(4))
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        kind = "big-endian GGUF" if swapped in VERSIONS else f"GGUF of version {version}"
        raise UserError(f"{shown} is a {kind}; versions 2 and 3, little-endian, are read.")
    tensors, entries = struct.unpack("<QQ", stream.read(16))
    if max(tensors, entries) > _LONGEST:
        raise UserError(f"{shown} is damaged: its header counts {tensors} tensors and {entries} entries.")
    return tensors, entries


def _metadata(stream: IO[bytes], count: int) -> dict[str, Any]:
    found = {}
    for _ in range(count):
        key = _string(stream)
        (kind,) = struct.unpack("<I", stream.read(4))
        found[key] = _value(stream, kind)
    return found


def _value(stream: IO[bytes], kind: int) -> Any:
    """One metadata value; an array is a list."""
    if kind == _STRING:
        return _string(stream)
    if kind == _ARRAY:
        inner, count = struct.unpack("<IQ", stream.read(12))
        _require_length(count)
        if inner in _SCALARS:
            form = f"<{count}{_SCALARS[inner]}"
            return list(struct.unpack(form, stream.read(struct.calcsize(form))))
        return [_value(stream, inner) for _ in range(count)]
    if kind not in _SCALARS:
        raise ValueError(f"a value of type {kind}")
    form = f"<{_SCALARS[kind]}"
    return struct.unpack(form, stream.read(struct.calcsize(form)))[0]


def _string(stream: IO[bytes]) -> str:
    (length,) = struct.unpack("<Q", stream.read(8))
    _require_length(length)
    text = stream.read(length)
    if len(text) < length:
        raise EOFError
    return text.decode("utf-8")


def _require_length(count: int) -> None:
    if count > _LONGEST:
        raise ValueError(f"a text or an array of {count} entries")


def _entry(stream: IO[bytes]) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape, type and offset of a tensor; the file has the shape with the last axis first."""
    name = _string(stream)
    (axes,) = struct.unpack("<I", stream.read(4))
    if axes > 4:
        raise ValueError(f"{name} has {axes} axes")
    shape = struct.unpack(f"<{axes}Q", stream.read(8 * axes))
    kind, offset = struct.unpack("<IQ", stream.read(12))
    return name, tuple(reversed(shape)), kind, offset


def _placed(entry: tuple[str, tuple[int, ...], int, int], data: int, shown: str) -> GgufTensor:
    """A tensor with the place of its bytes in the file."""
    name, shape, kind, offset = entry
    if kind not in TYPES:
        readable = ", ".join(type_name for type_name, _, _ in TYPES.values())
        raise UserError(
            f"{shown} holds {name} in the type number {kind}, which cannot be read; {readable} can."
        )
    type_name, values, block = TYPES[kind]
    if not shape or shape[-1] % values:
        raise UserError(f"{shown} is damaged: {name} of shape {shape} cannot be {type_name}.")
    return GgufTensor(name, shape, kind, data + offset, math.prod(shape) // values * block)
