"""config/gpt2.yaml as shipped, with smaller sizes, against a model hub that serves a GPT-2 repository."""

import json
import re

import pandas as pd
import pytest
import yaml
from fourier_addition.capture.dataset import open_capture
from fourier_addition.files.manifests import read_manifest
from fourier_addition.pipeline.verify import verify
from hub_server import HubServer
from study import ROOT, copy_of_the_tree, snakemake
from tiny import tiny_model
from transformers import AutoTokenizer

pytestmark = pytest.mark.workflow

REPOSITORY = "openai-community/gpt2"
TARGETS = [
    "results/figures/figure-3.csv",
    "results/figures/figure-9.csv",
    "results/figures/answers.csv",
    "results/tables/answers.csv",
    "results/tables/accuracy.csv",
]


def smaller(config):
    """The configuration with smaller sizes and nothing else changed."""
    config["tasks"]["addition-260"] |= {"operands": [0, 20], "running_example": [9, 4]}
    # Two trained arms less in the one table that would train them all.
    config["tables"]["accuracy"]["runs"] = ["gpt2.finetuned", "gpt2.4shot"]
    config["ablations"]["digit_ranges"] = {"one digit": [0, 9], "two digits": [10, 20]}
    for run in config["runs"].values():
        if "epochs" in run:
            run["epochs"] = 1
    return config


@pytest.fixture(scope="module")
def shipped():
    return yaml.safe_load((ROOT / "config/gpt2.yaml").read_text())


@pytest.fixture(scope="module")
def study(shipped, tmp_path_factory):
    """A finished run of a few targets, and what the hub was asked for."""
    folder = copy_of_the_tree(tmp_path_factory.mktemp("gpt2"))
    config = smaller(json.loads(json.dumps(shipped)))
    (folder / "config/gpt2.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    repository = tmp_path_factory.mktemp("hub")
    tiny_model("gpt2", largest=40, n_positions=128).save(repository)
    (revision,) = [source["revision"] for source in shipped["models"]["gpt2"]["sources"]]
    with HubServer({REPOSITORY: repository}, revisions={REPOSITORY: revision}) as hub:
        snakemake(
            folder,
            "--cores",
            "2",
            *TARGETS,
            "--configfile",
            "config/gpt2.yaml",
            environment=hub.environment(folder / "home"),
        )
        asked = list(hub.log)
    return folder, repository, asked


def test_the_shipped_configuration_pins_one_hub_commit(shipped):
    (source,) = shipped["models"]["gpt2"]["sources"]
    assert source["hub"] == REPOSITORY and re.fullmatch(r"[0-9a-f]{40}", source["revision"])


@pytest.mark.system
def test_weights_come_from_the_pinned_commit_of_the_hub_once(study, shipped):
    folder, repository, asked = study
    manifest = read_manifest(folder / "results/models/gpt2.json")
    facts = manifest["provenance"]
    (source,) = shipped["models"]["gpt2"]["sources"]
    assert (facts["kind"], facts["source"]) == ("hub", REPOSITORY)
    assert facts["revision"] == source["revision"]
    fetched = (folder / "results/models/gpt2/model.safetensors").read_bytes()
    assert fetched == (repository / "model.safetensors").read_bytes()
    whole = [entry for entry in asked if entry.storage and entry.sent >= len(fetched)]
    assert len(whole) == 1
    # Runs name the same weights: the prompted one has them as they are, the trained one has its own.
    prompted = read_manifest(folder / "results/runs/gpt2.4shot.seed0/checkpoint.json")
    trained = read_manifest(folder / "results/runs/gpt2.finetuned.seed0/checkpoint.json")
    assert prompted["provenance"]["weights_sha256"] == facts["weights_sha256"]
    assert trained["provenance"]["weights_sha256"] != facts["weights_sha256"]


@pytest.mark.system
def test_figures_and_tables_come_out(study):
    folder, _, _ = study
    for target in TARGETS:
        assert len(pd.read_csv(folder / target)) > 0, target
    (row,) = pd.read_csv(folder / "results/tables/answers.csv").to_dict("records")
    assert (row["run"], row["shots"]) == ("gpt2.4shot", 4)
    dataset = pd.read_parquet(folder / "results/datasets/addition-260.parquet")
    assert row["accuracy_of"] == (dataset["split"] == "test").sum()
    accuracy = pd.read_csv(folder / "results/tables/accuracy.csv").set_index(["run", "split"])["accuracy"]
    assert accuracy["gpt2.4shot", "test"] == row["accuracy"]
    assert ("gpt2.finetuned", "test") in accuracy.index


@pytest.mark.system
def test_the_prompted_runs_checkpoint_is_the_model_without_a_copy(study):
    folder, _, _ = study
    run = folder / "results/runs/gpt2.4shot.seed0"
    assert not (run / "checkpoint").exists() and not list(run.rglob("*.safetensors"))
    manifest, model = (
        read_manifest(path) for path in (run / "checkpoint.json", folder / "results/models/gpt2.json")
    )
    assert (run / manifest["directory"]).samefile(folder / "results/models/gpt2")
    assert manifest["digest"] == model["digest"]
    checked, problems = verify(folder / "results")
    assert checked > 4 and problems == []


@pytest.mark.system
def test_every_prompt_of_the_prompted_run_begins_with_the_solved_examples(study):
    folder, _, _ = study
    run = folder / "results/runs/gpt2.4shot.seed0"
    prefix = json.loads((run / "shots.json").read_text())["prefix"]
    prompts = pd.read_parquet(run / "prompts.parquet")
    assert prefix.count("Answer:") == 4 and prompts["prompt"].str.startswith(prefix).all()
    found = json.loads((run / "answers.json").read_text())
    assert found["shots"]["prefix"] == prefix
    answers = pd.read_parquet(run / "answers.parquet")
    assert found["summary"]["accuracy"]["count"] == (answers["prediction"] == answers["answer"]).sum()
    captured = open_capture([run / "activations/test/0.zarr"])
    assert (captured["answer"].values == answers["answer"].values).all()
    # The first generated token is the capture's prediction over the vocabulary.
    tokenizer = AutoTokenizer.from_pretrained(folder / "results/models/gpt2", local_files_only=True)
    first = [tokenizer.decode([token]) for token in captured["vocabulary_prediction"].values]
    assert [text.split(" ")[0] for text in answers["text"]] == first
