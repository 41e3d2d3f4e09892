"""What `make why` says would rerun, and why."""

import base64
import os

import pytest
import warm
from fourier_addition.pipeline.code_digest import SCRIPTS, code_digest, module_digests
from fourier_addition.pipeline.why import explanation, job_name
from fourier_addition.pipeline.why_causes import Planned, causes
from fourier_addition.pipeline.why_records import changed_files, recalled_code, remember_code
from study import finished, replace

CODE, OTHER_CODE = "0123456789abcdef", "fedcba9876543210"


def changed(before, **now):
    """Causes where only parameters changed, besides the code."""
    recorded = [repr(value) for value in (CODE, *before)]
    return causes(Planned("train of a", before=recorded, now={"code": CODE, **now}))


def test_an_empty_plan():
    assert explanation([]) == "Nothing would rerun."


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ([{"epochs": 2}], {"run": {"epochs": 3}}, ["the configuration value `epochs` changed from 2 to 3"]),
        ([16, 0], {"tau": 17, "seed": 0}, ["the configuration value `tau` changed from 16 to 17"]),
        (["raw"], {"norm": "folded"}, ["the configuration value `norm` changed from raw to folded"]),
        ([{"a": 1}], {"run": {"a": 1, "label": "x"}}, ["the configuration value `label` was set to x"]),
        (
            [{"a": 1, "clip": 2}],
            {"run": {"a": 1}},
            ["the configuration value `clip` is no longer set; it was 2"],
        ),
        (
            [{"grid": {"norm": ["raw"]}}],
            {"settings": {"grid": {"norm": ["folded"]}}},
            ["the configuration value `grid.norm` changed from ['raw'] to ['folded']"],
        ),
        ([(0, 5)], {"span": (0, 9)}, ["the value `span` changed from (0, 5) to (0, 9)"]),
        ([{"a": 1}, 3], {"run": {"a": 1}, "tau": 3}, []),
    ],
)
def test_a_changed_value_is_named(before, now, said):
    assert changed(before, **now) == said


def test_two_mappings_are_told_apart_by_their_keys():
    before = [{"basis": "paper", "cut": "row"}, {"draws": 3, "split": "test"}]
    now = {"settings": {"draws": 4, "split": "test"}, "analysis": {"basis": "paper", "cut": "component"}}
    assert sorted(changed(before, **now)) == [
        "the configuration value `cut` changed from row to component",
        "the configuration value `draws` changed from 3 to 4",
    ]


def test_one_change_seen_twice_is_said_once():
    before = [{"note": "x", "top": 1}, {"note": "x", "kind": "k"}]
    now = {"options": {"note": "y", "top": 1}, "caption": {"note": "y", "kind": "k"}}
    assert changed(before, **now) == ["the configuration value `note` changed from x to y"]


def test_changed_modules_are_named(tmp_path):
    job = Planned("ablate of a", before=[repr(CODE)], now={"code": OTHER_CODE})
    assert causes(job, tmp_path) == ["code that it uses changed"]
    (tmp_path / f"{CODE}.json").write_text('{"a/b.py": "1", "c.py": "2"}')
    (tmp_path / f"{OTHER_CODE}.json").write_text('{"a/b.py": "3", "c.py": "2"}')
    assert causes(job, tmp_path) == ["code that it uses changed: workflow/scripts/a/b.py"]


def test_digests_are_remembered_once(tmp_path):
    remember_code("lens.py", SCRIPTS, tmp_path / "records")
    digest = code_digest("lens.py")
    file = tmp_path / f"records/{digest}.json"
    stamp = file.stat().st_mtime_ns
    remember_code("lens.py", SCRIPTS, tmp_path / "records")
    assert file.stat().st_mtime_ns == stamp
    assert recalled_code(digest, tmp_path / "records") == module_digests("lens.py")
    assert recalled_code(OTHER_CODE, tmp_path / "records") is None


def test_added_and_dropped_modules_count_as_changed():
    assert changed_files({"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "1", "d": "1"}) == ["a", "b", "d"]


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (Planned("x", missing=["a"]), ["it has not run yet"]),
        (Planned("x", before=[], missing=["b", "a"]), ["a and b are missing"]),
        (Planned("x", before=[], updated=["a"]), ["a changed since it was read"]),
        (Planned("x", before=[], interrupted=True), ["its last run was interrupted"]),
        (
            Planned("x", before=[], environment="envs/torch.yaml"),
            ["its software environment changed: envs/torch.yaml"],
        ),
        (
            Planned("x", before=[], inputs_before=["a", "b"], inputs_now=["b", "c"]),
            ["it now also reads c", "it no longer reads a"],
        ),
        (Planned("x", before=[], inputs_before=["a"], inputs_now=["a"], after=["y"]), []),
    ],
)
def test_every_other_cause_has_its_words(job, said):
    assert causes(job) == said


def test_jobs_with_one_cause_share_a_sentence_and_followers_are_counted():
    change = {"before": ["{'epochs': 2}"], "now": {"run": {"epochs": 3}}}
    jobs = [
        Planned("train of a", **change),
        Planned("train of b", **change),
        Planned("capture of a", before=[], after=["train of a"]),
        Planned("table of accuracy", before=[], after=["train of a", "train of b"]),
        Planned("figure of f", before=[], after=["capture of a"]),
        Planned("lens of z", before=[], missing=["l"]),
    ]
    assert explanation(jobs).splitlines() == [
        "6 jobs would run.",
        "train of a and b would rerun because the configuration value `epochs` changed from 2 to 3, "
        "and 3 jobs after them.",
        "lens of z would rerun because l is missing.",
    ]


def test_new_jobs_have_no_cause():
    jobs = [Planned("lens of a", missing=["l"]), Planned("lens of b", missing=["m"], after=["lens of a"])]
    assert explanation(jobs) == "2 jobs would run.\nlens of a and b would run for the first time."


def test_jobs_are_named_by_rule_and_wildcards():
    assert job_name("capture", {"run": "a.seed0", "shard": "1"}) == "capture of a.seed0 shard 1"
    assert job_name("all", {}) == "all"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return finished(tmp_path_factory.getbasetemp())


def why(folder, *arguments, status=0):
    """What the command prints in a study's folder."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "workflow/scripts")}
    ended, output, errors = warm.call(
        "module", ["fourier_addition.pipeline.why", *arguments], folder, environment
    )
    assert ended == status, errors
    return output.splitlines() if status == 0 else errors


@pytest.fixture()
def put_back():
    """Remembers files that a test edits, and puts them back."""
    before = {}

    def edit(path, old=None, new=""):
        before.setdefault(path, path.read_bytes())
        if old is not None:
            replace(path, old, new)

    yield edit
    for path, text in before.items():
        path.write_bytes(text)


@pytest.mark.workflow
def test_a_finished_study(study):
    assert why(study) == ["Nothing would rerun."]


@pytest.mark.workflow
def test_a_value_and_a_module(study, put_back):
    put_back(study / "config/config.yaml", "draws: 3", "draws: 4")
    module = study / "workflow/scripts/fourier_addition/analysis/module_spectra.py"
    put_back(module)
    module.write_text(module.read_text() + "\n\nNEW = 1\n")
    assert set(why(study)) == {
        "6 jobs would run.",
        "ablate of mini.finetuned.seed0 range all would rerun because the configuration value `draws` "
        "changed from 3 to 4, and 2 jobs after it.",
        "spectra of mini.finetuned.seed0 would rerun because code that it uses changed: "
        "workflow/scripts/fourier_addition/analysis/module_spectra.py, and 2 jobs after it.",
    }
    assert why(study, "results/tables/accuracy.csv") == ["Nothing would rerun."]


@pytest.mark.workflow
def test_a_missing_a_changed_and_an_unfinished_file(study, put_back):
    figure, scores = "results/figures/figure-3.pdf", "results/runs/mini.scratch.seed0/accuracy.json"
    put_back(study / figure)
    put_back(study / scores)
    (study / figure).unlink()
    (study / scores).write_text((study / scores).read_text() + "\n")
    interrupted = base64.b64encode(b"results/figures/figure-4.pdf").decode()
    marker = study / ".snakemake/incomplete" / interrupted
    marker.parent.mkdir(exist_ok=True)
    marker.touch()
    try:
        assert set(why(study)) == {
            "3 jobs would run.",
            f"figure_spectrum of figure-3 would rerun because {figure} is missing.",
            f"table of accuracy would rerun because {scores} changed since it was read.",
            "figure_waves of figure-4 would rerun because its last run was interrupted.",
        }
    finally:
        marker.unlink()


@pytest.mark.workflow
def test_what_has_no_plan(study):
    assert "results/nowhere" in why(study, "results/nowhere", status=1)
