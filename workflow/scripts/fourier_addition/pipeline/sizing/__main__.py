"""The command `python -m fourier_addition.pipeline.sizing`."""

from fourier_addition.pipeline.sizing.report import main

if __name__ == "__main__":
    raise SystemExit(main())
