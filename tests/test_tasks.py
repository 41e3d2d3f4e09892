"""Tasks: the paper's templates, counts and splits."""

import numpy as np
import pandas as pd
import pytest
import yaml
from fourier_addition.errors import UserError
from fourier_addition.tasks import (
    OPERATIONS,
    Task,
    dataset,
    few_shot_prefix,
    in_digit_range,
    of_split,
    pairs,
    question,
)
from study import copy_of_the_tree, replace, snakemake


def task(operation="addition", operands=(0, 260), **changes):
    return Task(operation, operation, operands, templates=OPERATIONS[operation].templates, **changes)


def test_addition_has_the_papers_counts():
    table = dataset(task())
    assert len(table) == 34191
    assert table["split"].value_counts().to_dict() == {"train": 27352, "validation": 3419, "test": 3420}
    assert task().numbers == 521


def test_multiplication_has_the_papers_counts():
    table = dataset(task("multiplication", max_answer=10_000))
    counts = table["split"].value_counts().to_dict()
    assert counts == {"train": 11806, "validation": 1475, "test": 1477}
    assert (table["answer"] == table["a"] * table["b"]).all() and table["answer"].max() <= 10_000


def test_splits_are_by_unordered_pair_with_one_phrasing_each():
    table = dataset(task(operands=(0, 30)))
    unordered = [tuple(sorted(pair)) for pair in zip(table["a"], table["b"], strict=True)]
    assert len(set(unordered)) == len(table) == 31 * 32 // 2
    assert (table["a"] > table["b"]).any() and (table["a"] < table["b"]).any()
    assert set(table["template"]) == set(range(5))


def test_ascending_order_and_seed():
    ascending = dataset(task(operands=(0, 20), operand_order="ascending"))
    assert (ascending["a"] <= ascending["b"]).all()
    again, other = dataset(task(operands=(0, 20))), dataset(task(operands=(0, 20), seed=1))
    assert again.equals(dataset(task(operands=(0, 20)))) and not again.equals(other)
    with pytest.raises(UserError, match=r"operand_order.*'backwards'"):
        dataset(task(operands=(0, 20), operand_order="backwards"))


def test_prompts_end_where_the_answer_token_follows():
    assert question(task(), 4, 15, 93) == "Put together 15 and 93. Answer: "
    assert question(task(answer="space"), 4, 15, 93) == "Put together 15 and 93. Answer:"
    assert question(task("reverse-polish"), 0, 15, 93) == "15,93+"


def test_operands_from_above_zero():
    found = pairs(task(operands=(5, 8)))
    assert found.min() == 5 and found.max() == 8 and len(found) == 10


def test_digit_ranges():
    table = dataset(task(operands=(0, 50)))
    inside = in_digit_range(table, 0, 9)
    assert inside.sum() == 55 and table[inside][["a", "b"]].max().max() == 9
    with pytest.raises(UserError, match=r"Digit range 'huge' \[100, 200\] holds no pair"):
        in_digit_range(table, 100, 200, "huge")


def test_held_out_is_validation_and_test():
    table = dataset(task(operands=(0, 30)))
    assert set(of_split(table, "held-out")["split"]) == {"validation", "test"}
    assert (of_split(table, "train")["split"] == "train").all()


def test_too_few_pairs_for_three_splits():
    with pytest.raises(UserError, match="too few for a validation split"):
        dataset(task(operands=(0, 1)))


def test_operands_out_of_order_are_refused():
    entry = {"operation": "addition", "operands": [9, 3]}
    with pytest.raises(UserError, match=r"tasks\.sums\.operands"):
        Task.from_config("sums", entry)


def test_shots_come_from_the_training_split():
    table = dataset(task(operands=(0, 30)))
    prefix, drawn = few_shot_prefix(table, 4, seed=3, form="bare", separator="\n")
    assert prefix.count("\n") == 4 and len(drawn) == 4
    rows = table.set_index("example").loc[drawn]
    assert (rows["split"] == "train").all()
    assert prefix.splitlines()[0] == f"{rows['prompt'].iloc[0]}{rows['answer'].iloc[0]}"
    assert few_shot_prefix(table, 4, 3, "bare", "\n") == (prefix, drawn)
    with pytest.raises(UserError, match="only"):
        few_shot_prefix(table, 10_000, 0, "bare", "\n")


def test_templates_are_drawn_about_equally():
    counts = np.bincount(dataset(task())["template"])
    assert counts.min() > 0.9 * len(dataset(task())) / 5


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("operands", [(0, 7), (3, 9)])
def test_every_operation_is_symmetric_and_knows_its_largest_answer(name, operands):
    found = pairs(task(name, operands))
    a, b = found.T
    answers = OPERATIONS[name].apply(a, b)
    assert (answers == OPERATIONS[name].apply(b, a)).all() and answers.min() >= 0
    assert task(name, operands).largest_answer == answers.max()


def test_an_operation_that_does_not_exist_is_refused():
    entry = {"operation": "sum", "operands": [0, 9]}
    sentence = r"^Config key `tasks\.sums\.operation` must be one of addition, .*, not 'sum'\.$"
    with pytest.raises(UserError, match=sentence):
        Task.from_config("sums", entry)


DIFFERENCE = """Operation(
            name="difference",
            templates=("How far is {a} from {b}?",),
            cue=" Answer:",
            apply=lambda a, b: np.abs(a - b),
            largest=lambda low, high: high - low,
        ),
        """


@pytest.mark.workflow
def test_a_further_operation_is_one_record(tmp_path):
    folder = copy_of_the_tree(tmp_path, "micro")
    study = yaml.safe_load((folder / "config/config.yaml").read_text())
    study["tasks"]["gap"] = {"operation": "difference", "operands": [3, 20], "running_example": [5, 9]}
    (folder / "config/config.yaml").write_text(yaml.safe_dump(study))
    assert "must be one of addition, multiplication, reverse-polish, not 'difference'." in snakemake(
        folder, "-n", expect=1
    )

    record = 'Operation(\n            name="reverse-polish"'
    replace(folder / "workflow/scripts/fourier_addition/tasks.py", record, DIFFERENCE + record)
    snakemake(folder, "--cores", "1", "results/datasets/gap.parquet")
    table = pd.read_parquet(folder / "results/datasets/gap.parquet")
    assert len(table) == 18 * 19 // 2 and table["answer"].max() == 17
    assert (table["answer"] == (table["a"] - table["b"]).abs()).all()
    row = table.iloc[0]
    assert row["prompt"] == f"How far is {row['a']} from {row['b']}? Answer: "
