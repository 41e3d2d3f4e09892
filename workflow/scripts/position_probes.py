"""Fourier probes of operands, sum and digits at named positions, state by state."""

from fourier_addition.analysis.fourier_probes import fourier_probe_settings
from fourier_addition.analysis.position_probes import position_probes, probed_states
from fourier_addition.capture.dataset import open_capture
from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of

if "snakemake" not in globals():
    snakemake = mock_snakemake("position_probes", run="mini.finetuned.seed0")

with job(snakemake) as log:
    analysis = snakemake.params.analysis
    capture = open_capture([directory_of(snakemake.input.capture, ".zarr")])
    asked = analysis["probe_states"]
    states = probed_states(capture.sizes["state"], asked)
    if not isinstance(asked, int) and (absent := set(asked) - set(states)):
        log.warning("`analysis.probe_states`: left out, as this model lacks them: %s", sorted(absent))
    table = position_probes(
        capture,
        states=states,
        examples=analysis["probe_examples"],
        held_out=analysis["probe_held_out"],
        settings=fourier_probe_settings(analysis),
    )
    write_parquet(table, snakemake.output.probes)
