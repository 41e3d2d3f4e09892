"""Check every manifest below a folder against the files that it describes."""

from __future__ import annotations

import sys
from pathlib import Path

from fourier_addition.errors import UserError
from fourier_addition.storage import verify_manifest


def verify(folder: str | Path) -> tuple[int, list[str]]:
    """Compare every manifest below `folder` with its directory.

    Returns the number of manifests and one sentence for each file that is missing, changed or
    unexpected, or manifest that cannot be read.
    """
    checked, problems = 0, []
    # Inside a store or model directory JSON files are its content, not manifests.
    stores = (".zarr", "checkpoint")
    found = [
        path
        for path in sorted(Path(folder).rglob("*.json"))
        if not any(part.endswith(stores) for part in path.parts[:-1])
        and not path.parent.with_suffix(".json").is_file()
    ]
    for path in found:
        try:
            problems += verify_manifest(path)
        except UserError as error:
            # Results that are JSON but no manifest have no such key.
            if "is not a manifest" in str(error):
                continue
            problems.append(str(error))
        checked += 1
    return checked, problems


def main() -> int:
    """Print what is wrong; exit status 1 when anything is."""
    folder = sys.argv[1] if len(sys.argv) > 1 else "results"
    checked, problems = verify(folder)
    for problem in problems:
        print(problem)
    print(f"{checked} manifests checked, {len(problems)} problems.")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
