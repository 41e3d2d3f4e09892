"""`python -m fourier_addition.pipeline.report`: write the report of a folder of results."""

from fourier_addition.pipeline.report.command import main

if __name__ == "__main__":
    raise SystemExit(main())
