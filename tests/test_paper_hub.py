"""config/paper.yaml with smaller sizes, against a hub that serves small models under the paper's names.

The figures that no other test produces from that file: those of prompted runs of Phi-2 and GPT-J (9 and
19), of embeddings of several architectures (15), and of multiplication (16).
"""

import json

import pandas as pd
import pytest
import yaml
from fourier_addition.capture.dataset import open_capture
from fourier_addition.files.manifests import read_manifest
from fourier_addition.pipeline.verify import verify
from hub_server import HubServer
from study import ROOT, copy_of_the_tree, snakemake
from tiny import tiny_model

pytestmark = [pytest.mark.workflow, pytest.mark.system]

FAMILIES = {"gpt2-xl": "gpt2", "roberta-base": "roberta", "phi-2": "phi", "gpt-j-6b": "gptj"}
FIGURES = {"figure-9": "phi-2.4shot", "figure-16": "gpt2-xl.multiplication", "figure-19": "gpt-j-6b.4shot"}
LARGEST = 40


def smaller(config):
    """The configuration with smaller sizes and nothing else changed."""
    for task in ("addition-260", "polish-260"):
        config["tasks"][task] |= {"operands": [0, 20], "running_example": [9, 4]}
    config["tasks"]["multiplication-520"] |= {
        "operands": [0, 20],
        "max_answer": LARGEST,
        "running_example": [5, 4],
    }
    config["ablations"]["digit_ranges"] = {"one digit": [0, 9], "two digits": [10, 20]}
    for entry in config["runs"].values():
        if "epochs" in entry:
            entry["epochs"] = 1
    for entry in [*config["models"].values(), *config["embeddings"].values()]:
        if "numbers" in entry:
            entry["numbers"] = LARGEST + 1
    return config


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished run of those figures, and the configuration as shipped."""
    shipped = yaml.safe_load((ROOT / "config/paper.yaml").read_text())
    folder = copy_of_the_tree(tmp_path_factory.mktemp("paper"))
    config = smaller(json.loads(json.dumps(shipped)))
    (folder / "config/paper.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    repositories, revisions = {}, {}
    for name, family in FAMILIES.items():
        (source,) = shipped["models"][name]["sources"]
        repositories[source["hub"]] = tmp_path_factory.mktemp(name)
        revisions[source["hub"]] = source["revision"]
        changes = {"max_position_embeddings": 128} if family == "phi" else {"n_positions": 128}
        view = tiny_model(family, largest=LARGEST, **(changes if family != "roberta" else {}))
        view.save(repositories[source["hub"]])
    targets = [
        f"results/figures/{name}.{kind}" for name in (*FIGURES, "figure-15") for kind in ("csv", "png")
    ]
    with HubServer(repositories, revisions=revisions) as hub:
        snakemake(
            folder,
            "--cores",
            "2",
            *targets,
            "results/tables/answers.csv",
            "--configfile",
            "config/paper.yaml",
            environment=hub.environment(folder / "home"),
        )
    return folder, shipped


@pytest.mark.parametrize("figure", FIGURES)
def test_spectra_are_those_of_the_figures_own_run(study, figure):
    folder, _ = study
    shown = pd.read_csv(folder / f"results/figures/{figure}.csv")
    run = folder / f"results/runs/{FIGURES[figure]}.seed0"
    spectra = pd.read_parquet(run / "spectra.parquet")
    assert set(shown["module"]) == {"attention", "mlp"} and set(shown["layer"]) == set(spectra["layer"])
    keys = ["module", "layer", "component"]
    joined = shown.merge(spectra, on=keys, suffixes=("", "_of_run"))
    assert len(joined) == len(shown)
    assert (joined["magnitude"] - joined["magnitude_of_run"]).abs().max() < 1e-9
    assert (folder / f"results/figures/{figure}.png").stat().st_size > 10_000


def test_multiplication_asks_for_every_product_that_is_one_number(study):
    folder, _ = study
    examples = pd.read_parquet(folder / "results/datasets/multiplication-520.parquet")
    wanted = {(a, b) for a in range(21) for b in range(a, 21) if a * b <= LARGEST}
    assert {tuple(sorted(pair)) for pair in examples[["a", "b"]].values.tolist()} == wanted
    assert (examples["answer"] == examples["a"] * examples["b"]).all()
    capture = open_capture([folder / "results/runs/gpt2-xl.multiplication.seed0/activations/test/0.zarr"])
    assert sorted(capture["answer"].values) == sorted(examples[examples["split"] == "test"]["answer"])


def test_embeddings_of_every_architecture_are_side_by_side(study):
    folder, _ = study
    shown = pd.read_csv(folder / "results/figures/figure-15.csv")
    assert shown["name"].nunique() == 4


def test_prompted_models_answer_and_every_model_is_of_its_commit(study):
    folder, shipped = study
    answers = pd.read_csv(folder / "results/tables/answers.csv")
    assert set(answers["run"]) == {"phi-2.4shot", "gpt-j-6b.4shot"}
    for name in FAMILIES:
        facts = read_manifest(folder / f"results/models/{name}.json")["provenance"]
        (source,) = shipped["models"][name]["sources"]
        assert (facts["kind"], facts["revision"]) == ("hub", source["revision"])
    checked, problems = verify(folder / "results")
    assert checked > 8 and problems == []
