"""Parquet tables that carry a digest of themselves.

The digest is an ordinary entry of the file's key-value metadata, so every reader of Parquet reads such a
file. Parquet's own checksums cover pages and leave out their headers and the footer; this digest covers
every byte.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from fourier_addition.files.whole import replacing

KEY = b"file-sha256"
BLANK = b"0" * 64
"""What stands in the digest's place while the digest is computed."""
ENTRY = KEY + b"\x18\x40"
"""The key as it stands in the footer, with the two bytes that announce a text of 64 characters."""


def write_parquet(table: Any, path: str | Path) -> None:
    """Write a pandas DataFrame to Parquet, whole or not at all, with a SHA-256 of the file inside."""
    # pyarrow costs a quarter of a second to import, and many jobs that import this module write no table.
    import pyarrow
    import pyarrow.parquet

    arrow = pyarrow.Table.from_pandas(table, preserve_index=False)
    with replacing(path) as temporary:
        with pyarrow.parquet.ParquetWriter(temporary, arrow.schema) as writer:
            writer.write_table(arrow)
            writer.add_key_value_metadata({KEY: BLANK})
        content = temporary.read_bytes()
        place = content.rindex(ENTRY) + len(ENTRY)
        digest = hashlib.sha256(content).hexdigest().encode()
        temporary.write_bytes(content[:place] + digest + content[place + len(BLANK) :])


def differs_from_digest(content: bytes) -> bool | None:
    """Whether a Parquet file's bytes differ from the digest inside; None where there is none."""
    place = content.rfind(ENTRY)
    if place < 0:
        return None
    place += len(ENTRY)
    end = place + len(BLANK)
    digest = hashlib.sha256(content[:place] + BLANK + content[end:]).hexdigest().encode()
    return content[place:end] != digest
