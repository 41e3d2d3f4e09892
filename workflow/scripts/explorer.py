"""One page to look around in the results of a study: spectra, waves, lens, filters, turned phases, probes."""

from fourier_addition.files.manifests import package_versions
from fourier_addition.files.whole import replacing
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of, provenance

if "snakemake" not in globals():
    snakemake = mock_snakemake("explorer")

with job(snakemake) as log:
    from fourier_addition.explorer.collect import RunResults, run_part
    from fourier_addition.explorer.page import page
    from fourier_addition.explorer.weights import weights_behind

    params = snakemake.params

    def files_of(run):
        """Where the results of one run lie, for `RunResults`."""
        found = {}
        for what, (start, stop) in run["files"].items():
            given = snakemake.input[what]
            listed = ([given] if isinstance(given, str) else list(given))[start:stop]
            listed = [directory_of(path, ".zarr") if path.endswith(".json") else path for path in listed]
            found[what] = listed if what in ("captures", "filtered") else listed[0]
        return RunResults(**found)

    runs = []
    for run in params.runs:
        part = run_part(files_of(run), params.analysis, params.examples, params.modulus)
        about = {name: run[name] for name in ("name", "label", "model", "task", "numbers", "note", "missing")}
        runs.append({**about, **part})
        log.info("%s: %d examples", run["name"], len(part["examples"]["answer"]))

    manifests = [path for path in map(str, snakemake.input) if path.endswith(".json")]
    made = {"packages": package_versions(), "weights": weights_behind(manifests), **provenance(snakemake)}
    with replacing(snakemake.output.html) as temporary:
        temporary.write_text(page(runs, made), encoding="utf-8")
