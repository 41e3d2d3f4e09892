"""The configuration: schema, defaults, manual, and one sentence for every fault."""

import copy
import importlib
import re
from pathlib import Path

import pytest
import yaml
from fourier_addition.errors import UserError
from fourier_addition.pipeline.claim_inputs import ROLES
from fourier_addition.pipeline.config import validated
from fourier_addition.pipeline.config_files import require_distinct_keys
from fourier_addition.pipeline.config_page import document
from fourier_addition.pipeline.figures import FAMILIES, KINDS, PAPER, WHY, views
from fourier_addition.pipeline.names import instances, notes_of, tau_of
from fourier_addition.pipeline.tables import PAPER_TABLES, TABLE_KINDS
from fourier_addition.tables.cells import MAKERS

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = sorted(path for path in (ROOT / "config").glob("*.yaml") if path.name != "schema.yaml")


@pytest.fixture()
def default():
    return yaml.safe_load((ROOT / "config" / "config.yaml").read_text())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_configurations_are_valid(path):
    config = validated(yaml.safe_load(path.read_text()))
    assert instances(config) and views(config)


def test_the_manual_is_made_from_the_schema():
    assert (ROOT / "config" / "README.md").read_text() == document()


def test_every_key_of_the_schema_has_a_description():
    def without(rule, path):
        for key, inner in rule.get("properties", {}).items():
            if "description" not in inner:
                yield f"{path}.{key}"
            yield from without(inner, f"{path}.{key}")
            for child in ("additionalProperties", "items"):
                if isinstance(inner.get(child), dict):
                    yield from without(inner[child], f"{path}.{key}")

    schema = yaml.safe_load((ROOT / "config" / "schema.yaml").read_text())
    assert list(without(schema, "")) == []


@pytest.mark.parametrize(
    ("where", "value", "sentence"),
    [
        (["runs", "mini.scratch", "epoch"], 3, r"`runs.mini.scratch.epoch` is not known.*`epochs`\?"),
        (["runs", "mini.scratch", "epochs"], -1, r"`runs.mini.scratch.epochs` must be at least 0, not -1"),
        (["runs", "mini.scratch", "model"], "minilm2", r"names the model 'minilm2'.*there are: mini, minilm"),
        (["runs", "mini.scratch", "task"], "sums", r"names the task 'sums'"),
        (["runs", "mini.finetuned", "embedding"], "random", r"needs `start: scratch`"),
        (
            ["runs", "mini.scratch", "embedding"],
            "learned",
            r"^Config key `runs.mini.scratch.embedding` must be one of pretrained, random, shuffled, "
            r"fourier, not 'learned'\.$",
        ),
        (["runs", "mini.finetuned", "loss_on"], "line", r"loss_over` must be vocabulary"),
        (["tasks", "addition-50", "operands"], [0, 51], r"needs the numbers 0\.\.102, but number 101"),
        (["tasks", "addition-50", "operands"], [9, 3], r"0 <= smallest <= largest"),
        (["tasks", "addition-50", "operation"], "sum", r"must be one of addition, multiplication"),
        (["tasks", "addition-50", "running_example"], [15, 93], r"outside the operands"),
        (["tasks", "addition-50", "templates"], ["sum of {a}"], r"must hold {a} and {b}"),
        (["models", "minilm", "sources"], [{"hub": "a/b"}], r"revision` must be the 40 hexadecimal digits"),
        (["models", "minilm", "sources"], [{"hub": "a/b", "wheel": "c==1"}], r"one of the keys wheel, hub"),
        (["models", "mini", "sources"], [{"pretrain": "words"}], r"names the pre-training 'words'"),
        (["models", "mini", "architecture", "heads"], 3, r"3 heads do not divide the width"),
        (["embeddings", "minilm", "numbers"], 400, r"number 342 is not one token of model 'minilm'"),
        (["analysis"], {"tau": 51}, r"^Config key `analysis.tau` is 51, beyond the 50 components"),
        (["analysis"], {"basis": "fft"}, r"`analysis.basis` must be one of paper, orthonormal"),
        (["ablations", "runs"], ["nobody"], r"names the run 'nobody'"),
        (["ablations", "digit_ranges"], {"four digits": [1000, 9999]}, r"four digits.*holds no pair"),
        (
            ["ablations", "digit_ranges"],
            {},
            r"kind `digit-ranges`, but `ablations.digit_ranges` names no range",
        ),
        (["ablations", "bands"], ["middle"], r"`ablations.bands\[0\]`.*middle"),
        (["ablations", "seed"], 7, r"`ablations.seed` is 7, but run"),
        (["figures", "figure-1"], {}, r"`figures.figure-1.run` is missing"),
        (["figures", "figure-7", "seed"], 9, r"has the seeds"),
        (["figures", "spiral"], {"run": "mini.scratch"}, r"`figures.spiral` is not a figure of the paper"),
        (["figures", "spiral"], {"kind": "spiral"}, r"`figures.spiral.kind` must be one of"),
        (["tables", "mine"], {"run": "mini.scratch"}, r"`tables.mine.kind` is missing"),
        (["figures", "figure-5", "embeddings"], ["mini", "minilm"], r"names 2 number embeddings, but"),
        (["figures", "figure-15", "seed"], 9, r"`figures.figure-15.seed` is 9, but run 'mini.finetuned'"),
        (["tables", "mine"], {"kind": "spiral"}, r"`tables.mine.kind` must be one of ablation"),
        (["tables", "mine"], {"kind": "claims"}, r"`tables.mine.roles` is missing"),
        (["tables", "claims", "roles"], {}, r"`tables.claims.roles` is"),
        (
            ["tables", "claims", "roles", "finetuned"],
            "nobody",
            r"roles.finetuned` names the run 'nobody'",
        ),
        (
            ["tables", "claims", "roles", "prompted"],
            ["mini.scratch"],
            r"'mini.scratch' is trained, not",
        ),
        (["tables", "claims", "roles", "closed"], ["gpt-5"], r"names the API run 'gpt-5'"),
        (["tables", "claims", "roles", "fine_tuned"], "mini.scratch", r"is not known.*`finetuned`\?"),
        (["claims"], {"most": 2}, r"`claims.most` must be at most 1"),
        (["figure"], {}, r"`figure` is not known.*`figures`\?"),
        (["models"], [], r"`models` must be a mapping"),
    ],
)
def test_every_fault_gets_one_sentence(default, where, value, sentence):
    config = copy.deepcopy(default)
    inner = config
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    with pytest.raises(UserError, match=sentence) as raised:
        views(validated(config))
    text = str(raised.value)
    assert "\n" not in text and text.endswith((".", "?"))


def test_a_missing_section_is_named():
    with pytest.raises(UserError, match=r"`(models|tasks|runs|figures)` is missing"):
        validated({})


def test_the_papers_tau_keeps_period_ten_high(default):
    config = validated(default)
    assert {p: tau_of(config, p) for p in (521, 341, 101)} == {521: 50, 341: 33, 101: 10}


def test_defaults_do_not_change_the_given_configuration(default):
    before = copy.deepcopy(default)
    validated(default)
    assert default == before


def test_every_kind_of_figure_has_a_script_a_caption_and_a_drawing_function():
    assert all(name == kind.name and kind.description for name, kind in KINDS.items())
    assert all(kind.shows and set(kind.shows) <= set(WHY) for kind in KINDS.values())
    assert {kind for kind, _ in PAPER.values()} <= set(KINDS)
    assert sorted(PAPER) == sorted(f"figure-{number}" for number in range(1, 24))
    for family in FAMILIES:
        assert (ROOT / "workflow" / "scripts" / f"figure_{family}.py").is_file()
        assert (ROOT / "workflow" / "report" / f"{family}.rst").is_file()
        drawings = importlib.import_module(f"fourier_addition.plots.kinds.{family}").DRAWINGS
        assert set(drawings) == {kind.name for kind in KINDS.values() if kind.family == family}


def test_every_kind_of_table_has_a_maker_of_cells():
    assert all(name == kind.name and kind.description for name, kind in TABLE_KINDS.items())
    assert set(PAPER_TABLES.values()) <= set(TABLE_KINDS)
    # The claims have a rule and a script of their own.
    assert set(MAKERS) == set(TABLE_KINDS) - {"claims"}
    schema = yaml.safe_load((ROOT / "config" / "schema.yaml").read_text())["properties"]
    roles = schema["tables"]["additionalProperties"]["properties"]["roles"]["properties"]
    assert set(roles) == set(ROLES)


@pytest.mark.parametrize(("section", "kinds"), [("figures", KINDS), ("tables", TABLE_KINDS)])
def test_the_schema_leaves_kinds_to_their_records(section, kinds):
    schema = yaml.safe_load((ROOT / "config" / "schema.yaml").read_text())["properties"][section]
    kind = schema["additionalProperties"]["properties"]["kind"]
    assert set(kind) == {"type", "description"} and not any(f"`{name}`" in str(kind) for name in kinds)
    manual = document()
    assert all(f"| `{name}` | " in manual and each.description in manual for name, each in kinds.items())


@pytest.mark.parametrize(("value", "now"), [("none", "raw"), ("gain", "folded")])
def test_a_value_of_an_earlier_release_names_the_new_one(default, value, now):
    default["analysis"] = {"norm": value}
    with pytest.raises(UserError, match=rf"`analysis\.norm` is '{value}', which is called `{now}` now\."):
        validated(default)


# Every number and name that YAML can say


def test_whole_numbers_and_text_are_the_numbers_that_they_write(default):
    plain = validated(default)
    run = next(name for name, run in default["runs"].items() if "epochs" in run)
    default["runs"][run] |= {
        "epochs": float(plain["runs"][run]["epochs"]),
        "batch_size": str(plain["runs"][run]["batch_size"]),
        "learning_rate": f"{plain['runs'][run]['learning_rate']:e}",
        "betas": ["9e-1", 0.999],
    }
    task = next(iter(default["tasks"].values()))
    task["operands"] = [float(number) for number in task["operands"]]
    assert validated(default) == plain
    assert isinstance(validated(default)["runs"][run]["epochs"], int)


@pytest.mark.parametrize(("given", "read"), [(["5", "15.0"], [5, 15]), ("7", 7), ([5, 15], [5, 15])])
def test_numbers_in_one_of_two_forms_of_a_value_may_be_text(default, given, read):
    """As `--config` hands them over: a number, or a list of numbers."""
    default.setdefault("analysis", {})["probe_states"] = given
    assert validated(default)["analysis"]["probe_states"] == read


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"periods": ["2", "2.5"]}, {"periods": [2, 2.5]}),
        ({"range": ["1", 9]}, {"range": [1, 9]}),
        ({"complement": {"components": ["2"]}}, {"complement": {"components": [2]}}),
        ({"complement": "low"}, {"complement": "low"}),
    ],
)
def test_numbers_of_bands_may_be_text(default, given, read):
    default.setdefault("ablations", {})["bands"] = [given]
    assert validated(default)["ablations"]["bands"] == [read]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), ".nan", 1e308])
def test_numbers_that_are_none_are_named(default, value):
    run = next(name for name, run in default["runs"].items() if "epochs" in run)
    default["runs"][run]["epochs"] = value
    with pytest.raises(UserError, match=rf"`runs\.{re.escape(run)}\.epochs`"):
        validated(default)


def test_a_key_that_stands_twice_is_named(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("runs:\n  a: {epochs: 1}\n  b:\n    epochs: 2\n    epochs: 3\n")
    with pytest.raises(UserError, match=r"sets `runs\.b\.epochs` twice, in lines 4 and 5"):
        require_distinct_keys(path)
    path.write_text("a: {b: 1, b: 2}\n")
    with pytest.raises(UserError, match=r"sets `a\.b` twice, in line 1: keep one of the two"):
        require_distinct_keys(path)
    for shipped in SHIPPED:
        require_distinct_keys(shipped)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda c: c["pretraining"]["numerals"].update(mixture={"sums": 1}),
            r"mixture\.sums` is no kind of sentence",
        ),
        (lambda c: c["pretraining"]["numerals"].update(mixture={"order": 0}), r"mixture` must give a kind"),
        (lambda c: c["pretraining"]["numerals"].update(mixture={}), r"mixture` must give a kind"),
        (lambda c: c["pretraining"]["numerals"].update(counting_steps=[90]), r"counting_steps` has no step"),
        (
            lambda c: c["models"]["mini"]["architecture"].update(positions=8),
            r"models\.mini\.architecture\.positions` is 8, but a line of pre-training has 16 tokens",
        ),
        (
            lambda c: c["tasks"]["addition-50"].update(fractions=[float("nan"), float("nan")]),
            r"tasks\.addition-50\.fractions",
        ),
        (
            lambda c: c["tasks"]["addition-50"].update(operands=[-0.0, 1e308]),
            r"tasks\.addition-50\.operands",
        ),
        (
            lambda c: c["runs"]["mini.finetuned"].update(batch_size=10**6),
            r"runs\.mini\.finetuned\.batch_size` is 1000000, but task 'addition-50' has 1060 training lines",
        ),
    ],
)
def test_what_would_end_a_job_is_named_before_any_job(default, change, sentence):
    change(default)
    with pytest.raises(UserError, match=sentence):
        validated(default)


def test_a_models_note_stands_under_the_figures_that_show_the_model(default):
    name, run = next(iter(default["runs"].items()))
    default["models"][run["model"]]["note"] = "a small model"
    default["note"] = "a study"
    checked = validated(default)
    assert notes_of(checked, [name, name]) == "a study\na small model"
    assert notes_of(checked, [run["model"]]) == "a study\na small model"
    assert notes_of(checked, []) == "a study"


def test_a_note_that_is_not_of_everything_says_what_it_is_of(default):
    checked = validated(default)
    note = checked["models"]["mini"]["note"]
    assert notes_of(checked, ["mini", "mini.finetuned"]) == note
    assert notes_of(checked, ["mini", "mini.finetuned", "minilm"]) == f"mini, pre-trained; fine-tuned: {note}"
