"""Prompted runs whose answers are several tokens, from a hub, a folder and a GGUF file to figures."""

import json

import pandas as pd
import pytest
import torch
import yaml
from fourier_addition.files.manifests import read_manifest, sha256_file
from fourier_addition.models import wrap
from fourier_addition.pipeline.verify import verify
from gguf_files import tiny_causal, write_gguf
from hub_server import HubServer
from study import ROOT, copy_of_the_tree, snakemake
from test_digit_tokenizers import digit_tokenizer
from test_gguf import sentencepiece
from tiny import tiny_config
from transformers import AutoModelForCausalLM

pytestmark = [pytest.mark.workflow, pytest.mark.system]

SHIPPED = {"qwen3": "qwen3-1.7b", "gemma2": "gemma-2-2b"}
"""Family -> the model of config/modern.yaml that a small model of this family stands for."""
STYLES = (*SHIPPED, "llama", "llama2-style")
KINDS = ("digit-lens", "number-spectrum", "number-errors", "prompted-errors")
GGUF = "small.Q8_0.gguf"


def config_of(folder):
    """Models of config/modern.yaml that write digits, a digit-level Llama, and a Llama 2 style GGUF."""
    shipped = yaml.safe_load((ROOT / "config/modern.yaml").read_text())["models"]
    models = {style: {**shipped[name], "precision": "float32"} for style, name in SHIPPED.items()}
    models["llama"] = {"sources": [{"path": str(folder / "llama")}], "numbers": 10}
    models["llama2-style"] = {"sources": [{"hub": "small/llama-2", "revision": "a" * 40, "file": GGUF}]}
    task = {"operation": "addition", "operands": [0, 12], "templates": ["{a}+{b}"], "running_example": [9, 8]}
    runs = {f"{style}.2shot": {"model": style, "task": "sums", "shots": 2} for style in STYLES}
    return {
        "models": models,
        "tasks": {"sums": task},
        "runs": runs,
        "digits": {"examples": 8},
        "figures": {f"{kind}-{run}": {"kind": kind, "run": run} for kind in KINDS for run in runs},
        "tables": {"digits": {"kind": "digits", "runs": list(runs)}},
        "analysis": {"null_draws": 20},
    }


def save_small(folder, family, seed):
    tokenizer = digit_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = tiny_config(family, len(tokenizer), 2, 48, max_position_embeddings=128)
        wrap(AutoModelForCausalLM.from_config(config), tokenizer).save(folder)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = copy_of_the_tree(tmp_path_factory.mktemp("digits"))
    config = config_of(folder)
    (folder / "config/digits.yaml").write_text(yaml.safe_dump(config))
    save_small(folder / "llama", "llama", 2)

    # The hub has the small models under the names and commits of the shipped ones.
    repositories, revisions = {}, {}
    for style, entry in config["models"].items():
        (source,) = entry["sources"]
        if "hub" in source:
            repositories[source["hub"]] = tmp_path_factory.mktemp(style)
            revisions[source["hub"]] = source["revision"]
            if style in SHIPPED:
                save_small(repositories[source["hub"]], style, len(repositories))
    backend, metadata = sentencepiece(True)
    model = tiny_causal("llama", backend.get_vocab_size(), max_position_embeddings=256)
    write_gguf(repositories["small/llama-2"] / GGUF, "llama", model, quantisation="Q8_0", more=metadata)
    with HubServer(repositories, revisions=revisions) as hub:
        environment = hub.environment(folder / "home")
        snakemake(folder, "--cores", "2", "--configfile", "config/digits.yaml", environment=environment)
    return folder


def test_every_figure_and_the_table_are_there(study):
    for name in config_of(study)["figures"]:
        assert (study / f"results/figures/{name}.png").stat().st_size > 5_000
    table = pd.read_csv(study / "results/tables/digits.csv")
    assert set(table["run"]) == {f"{style}.2shot" for style in STYLES}
    assert table["mass"].between(0, 1.001).all()


@pytest.mark.parametrize("style", STYLES)
def test_greedy_answers_agree_with_teacher_forcing(study, style):
    run = study / f"results/runs/{style}.2shot.seed0"
    written = pd.read_parquet(run / "answers.parquet").set_index("example")
    whole = pd.read_parquet(run / "digits.parquet").groupby("example")["right"].all()
    assert len(whole) == 8
    for example, right in whole.items():
        assert right == (written.loc[example, "error"] == 0)
    summary = json.loads((run / "digits.json").read_text())
    assert summary["answer_end"] == "no-digit" and summary["summary"]["whole"]["of"] == 8
    lens = pd.read_parquet(run / "digit-lens.parquet")
    assert set(lens["layer"]) == {0, 1, 2}


def test_the_gguf_file_is_fetched_once_and_its_hash_is_that_of_the_weights(study):
    fetched = read_manifest(study / "results/gguf/llama2-style.json")["provenance"]
    made = read_manifest(study / "results/models/llama2-style.json")["provenance"]
    assert fetched["weights_sha256"] == made["weights_sha256"]
    assert made["weights_sha256"] == sha256_file(study / "results/gguf/llama2-style" / GGUF)
    assert made["gguf"]["architecture"] == "llama" and made["gguf"]["types"]["Q8_0"] > 10
    checked, problems = verify(study / "results")
    assert checked > 8 and problems == []
