"""Results without Snakemake's record: what their own files say of the values they were made with."""

import json

import pytest
from fourier_addition.pipeline.snakemake_private import KeptJob
from fourier_addition.pipeline.unrecorded import recorded_params, recorder, unrecorded_sentences


def made(folder, name, **params):
    """A job's manifest and what it describes, as a job would write them."""
    manifest = folder / f"{name}.json"
    manifest.write_text(json.dumps({"manifest": 1, "provenance": {"params": params}}))
    return str(manifest)


@pytest.fixture()
def kept(tmp_path):
    old = {"code": "0" * 16, "run": {"epochs": 2, "betas": [0.9, 0.99]}, "seeds": [0]}
    same, other = made(tmp_path, "same", **old), made(tmp_path, "other", **old)
    coded = made(tmp_path, "coded", **old)
    figure = str(tmp_path / "figure.csv")
    now = {"code": "0" * 16, "run": {"epochs": 2, "betas": (0.9, 0.99)}, "seeds": [0]}
    return [
        KeptJob("train", [same, str(tmp_path / "same")], now),
        KeptJob("train", [str(tmp_path / "other"), other], now | {"run": now["run"] | {"epochs": 3}}),
        KeptJob("train", [coded], now | {"code": "1" * 16}),
        KeptJob("figure", [figure], {"options": {}}),
    ]


def test_nothing_is_said_where_every_job_has_a_record():
    assert unrecorded_sentences([]) == []


def test_values_and_code_that_differ_are_named(kept, tmp_path):
    said = unrecorded_sentences(kept)
    assert said[0].startswith("Of 4 finished jobs Snakemake has no record")
    assert said[1].startswith("2 results of them would be made with other values or code today: delete")
    assert said[2:4] == [
        f"    {tmp_path}/other.json: the configuration value `run.epochs` changed from 2 to 3",
        f"    {tmp_path}/coded.json: code that it uses changed",
    ]
    assert said[4].startswith("Of 1 job of them, such as figures and tables, it cannot be known")
    assert "same.json" not in "\n".join(said)


def test_same_values_are_no_difference(kept):
    assert len(unrecorded_sentences(kept[:1])) == 1


def test_many_are_counted(kept):
    said = unrecorded_sentences([kept[1]] * 9)
    assert said[1].startswith("9 results") and said[-1] == "    and 3 more"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"provenance": []}', '{"provenance": {"params": 3}}', "\xff"]
)
def test_a_file_that_says_nothing_is_no_record(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    assert recorder([str(tmp_path / "a.json")]) is None
    assert recorded_params([str(tmp_path / "gone.json"), str(tmp_path / "a.json")]) is None
