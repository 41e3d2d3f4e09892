"""What the build does beside `pyproject.toml`: it copies files into the package that lie outside of it."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHIPPED = {
    "config/schema.yaml": "fourier_addition/pipeline/schema.yaml",
    "workflow/report/*.rst": "fourier_addition/pipeline/report/captions",
}
"""Files of the checkout -> the file or folder of the installed package that gets their copies."""


class BuildWithShippedFiles(build_py):
    """Copies the schema and the captions into the package; an editable installation reads the checkout's."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for pattern, target in SHIPPED.items():
            for source in sorted(ROOT.glob(pattern)):
                place = Path(self.build_lib, target)
                copy = place if place.suffix else place / source.name
                self.mkpath(str(copy.parent))
                self.copy_file(str(source), str(copy))


setup(cmdclass={"build_py": BuildWithShippedFiles})
