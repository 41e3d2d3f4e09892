"""config/modern.yaml with smaller sizes, against a hub that serves small models under the shipped names.

Llama 3, OLMo and Pythia write a number as one token; Qwen and Gemma write digits. The repositories of Llama
and Gemma are gated.
"""

import json

import pandas as pd
import pytest
import torch
import yaml
from fourier_addition.files.manifests import read_manifest
from fourier_addition.models import wrap
from fourier_addition.pipeline.verify import verify
from hub_server import HubServer
from study import ROOT, copy_of_the_tree, snakemake
from test_digit_tokenizers import digit_tokenizer
from tiny import tiny_config, tiny_model
from transformers import AutoModelForCausalLM

pytestmark = [pytest.mark.workflow, pytest.mark.system]

ONE_TOKEN = {
    "pythia-1.4b": "gpt_neox",
    "olmo-2-1b": "olmo2",
    "llama-3.2-1b": "llama",
    "llama-3-8b": "llama",
}
DIGITS = {"qwen2.5-1.5b": "qwen2", "qwen3-1.7b": "qwen3", "gemma-2-2b": "gemma2", "gemma-3-1b": "gemma3"}
FAMILIES = {**ONE_TOKEN, **DIGITS}
"""Model of config/modern.yaml -> the family of the small model that stands for it."""
LARGEST, TOKEN = 40, "hf_of_an_account_that_accepted_the_terms"


def smaller(config):
    """The configuration with smaller sizes and nothing else changed."""
    config["tasks"]["addition-99"] |= {
        "operands": [0, 20],
        "running_example": [15, 4],
        "fractions": [0.6, 0.1],
    }
    for entry in config["embeddings"].values():
        entry["numbers"] = min(entry["numbers"], LARGEST + 1)
    config["digits"] = {"examples": 8}
    config["analysis"] |= {"null_draws": 20, "perplexity": 5, "clusters": 4, "probe_states": 3}
    return config


def save_small(folder, name, seed):
    changes = {"max_position_embeddings": 512}
    if name in ONE_TOKEN:
        tiny_model(FAMILIES[name], seed=seed, largest=LARGEST, **changes).save(folder)
        return
    tokenizer = digit_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = tiny_config(FAMILIES[name], len(tokenizer), 2, 48, **changes)
        wrap(AutoModelForCausalLM.from_config(config), tokenizer).save(folder)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished run of the whole configuration, and the configuration as shipped."""
    shipped = yaml.safe_load((ROOT / "config/modern.yaml").read_text())
    folder = copy_of_the_tree(tmp_path_factory.mktemp("modern"))
    config = smaller(json.loads(json.dumps(shipped)))
    (folder / "config/modern.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    repositories, revisions = {}, {}
    for seed, name in enumerate(FAMILIES):
        (source,) = shipped["models"][name]["sources"]
        repositories[source["hub"]] = tmp_path_factory.mktemp(name)
        revisions[source["hub"]] = source["revision"]
        save_small(repositories[source["hub"]], name, seed)
    gated = {name: TOKEN for name in repositories if name.startswith(("meta-llama/", "google/"))}
    with HubServer(repositories, revisions=revisions, gated=gated) as hub:
        environment = hub.environment(folder / "home", HF_TOKEN=TOKEN, FOURIER_ADDITION_FORKS="1")
        arguments = ("--cores", "2", "--configfile", "config/modern.yaml")
        snakemake(folder, *arguments, environment=environment)
    return folder, shipped


def test_every_model_of_the_configuration_has_a_stand_in():
    assert set(yaml.safe_load((ROOT / "config/modern.yaml").read_text())["models"]) == set(FAMILIES)


def test_every_figure_and_table_is_there(study):
    folder, shipped = study
    for name in shipped["figures"]:
        assert (folder / f"results/figures/{name}.png").stat().st_size > 5_000, name
    for name in shipped["tables"]:
        assert (folder / f"results/tables/{name}.csv").stat().st_size > 100, name
    checked, problems = verify(folder / "results")
    assert checked > 16 and problems == []


@pytest.mark.parametrize("name", FAMILIES)
def test_circles_are_probed_where_this_tokenizer_reads_a_number(study, name):
    folder, shipped = study
    shown = pd.read_csv(folder / f"results/figures/circles-{name}.csv")
    probes = pd.read_parquet(folder / f"results/runs/{name}.4shot.seed0/position-probes.parquet")
    assert set(shown["layer"]) == set(probes["layer"]) == {0, 1, 2}
    answers = {"answer 1"} if name in ONE_TOKEN else {"answer 1", "answer 2"}
    assert set(probes["position"]) == {"a", "b", *answers}
    assert set(probes[probes["position"] == "answer 1"]["target"]) >= {"a", "b", "sum"}
    facts = read_manifest(folder / f"results/models/{name}.json")["provenance"]
    (source,) = shipped["models"][name]["sources"]
    assert (facts["kind"], facts["revision"]) == ("hub", source["revision"])


@pytest.mark.parametrize("name", DIGITS)
def test_digits_are_probed_and_read_token_by_token(study, name):
    folder, _ = study
    digits = pd.read_csv(folder / f"results/figures/digits-{name}.csv")
    assert set(digits["target"]) == {"digit 1", "digit 2"} and set(digits["position"]) == {"answer 2"}
    spectrum = pd.read_csv(folder / f"results/figures/number-spectrum-{name}.csv")
    assert spectrum["magnitude"].notna().all() and spectrum["component"].max() == LARGEST // 2
    lens = pd.read_csv(folder / f"results/figures/digit-lens-{name}.csv")
    assert set(lens["layer"]) == {0, 1, 2}


def test_tables_list_every_model(study):
    folder, _ = study
    runs = {f"{name}.4shot" for name in FAMILIES}
    assert set(pd.read_csv(folder / "results/tables/answers.csv")["run"]) == runs
    digits = pd.read_csv(folder / "results/tables/digits.csv")
    assert set(digits["run"]) == {f"{name}.4shot" for name in DIGITS}
    claims = pd.read_csv(folder / "results/tables/claims.csv", dtype=str)
    told = claims[claims["verdict"] != "not tested"]
    # Claim 2b needs sums that span a period of 200.
    assert {"8a", "13a", "13b", "13c", "13d", "13e"} <= set(told["claim"])
    said = " ".join(claims.fillna("").astype(str).to_numpy().ravel())
    assert all(name in said for name in FAMILIES)
