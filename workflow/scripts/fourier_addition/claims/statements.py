"""The paper's claims as statements that a study's results can confirm or refute. Data only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fourier_addition.claims.circles import CIRCLES, circles_at, sum_coarse_before_fine
from fourier_addition.claims.intervened import CONTROLS, exchanged, turned
from fourier_addition.claims.read_off import (
    PERIODS,
    Reading,
    accuracy_against,
    clusters_explain,
    epochs_against,
    errors_that,
    errors_within_2,
    longest_period_misses,
    lost_to_filters,
    low_frequencies_of_mlps,
    mean_test_accuracy,
    multiples_of_10_among_prompted_errors,
    near_before_exact,
    parity_from_period_2,
    peaks_at_the_answer,
    periods_in_embedding,
    periods_in_logits,
    right_answers_of_closed_models,
    worst_seed,
)
from fourier_addition.claims.verdict import (
    CriterionOf,
    above,
    all_of,
    at_least,
    at_most,
    below,
    beyond_chance,
    none_of,
)

MULTIPLICATION_PERIODS = (2, 2.5, 10 / 3, 5, 10)
"""The periods that stand out in multiplication (appendix)."""


@dataclass(frozen=True)
class Statement:
    """One statement of the paper that a study can test.

    claim: number of the claim that the statement belongs to, with a letter where a claim has several
    statements. says: the statement in words. paper: the paper's own result, in words. paper_value: the
    paper's own result as a number on the scale of `Measured.value`, None where the paper gives no number.
    criterion: what a result must satisfy to confirm the statement; made from the settings of the table.
    roles: the roles that the statement compares; where the configuration names no run for one of them,
    the statement is not tested. measure: reads the study's result, once for each run or model. seen_in: the
    paper's figures and table that show the claim, by their names in the configuration.
    """

    claim: str
    says: str
    paper: str
    paper_value: float | None
    criterion: CriterionOf
    roles: tuple[str, ...]
    measure: Reading
    seen_in: tuple[str, ...] = ()


STATEMENTS: tuple[Statement, ...] = (
    Statement(
        claim="1",
        says="The fine-tuned model learns addition",
        paper="99.74 % on the test split",
        paper_value=0.9974,
        criterion=at_least("learned"),
        roles=("finetuned",),
        measure=mean_test_accuracy("finetuned"),
        seen_in=("figure-7",),
    ),
    Statement(
        claim="2",
        says=(
            "Seen through the logit lens, the answer is approximated before it is exact: there is a layer "
            "after which most predictions are within 10 and not exact"
        ),
        paper="layers 20 to 30: exact low, within 10 high",
        paper_value=None,
        criterion=at_least("most"),
        roles=("finetuned",),
        measure=near_before_exact,
        seen_in=("figure-1",),
    ),
    Statement(
        claim="2b",
        says=(
            "Before the answer, the residual stream builds the magnitude of the sum coarse first: over the "
            "layers, a probe reads period 200 better than 100, and 100 better than 50"
        ),
        paper="not tested; follows from approximating before refining",
        paper_value=None,
        criterion=above(0, "(R2)"),
        roles=("probed",),
        measure=sum_coarse_before_fine,
        seen_in=("coarse-to-fine", "position-probes"),
    ),
    Statement(
        claim="3a",
        says="Periods 2, 2.5, 5 and 10 stand out in MLP logits",
        paper="all four",
        paper_value=4,
        criterion=all_of(PERIODS),
        roles=("finetuned",),
        measure=periods_in_logits("finetuned", "mlp"),
        seen_in=("figure-3",),
    ),
    Statement(
        claim="3b",
        says="Periods 2, 2.5, 5 and 10 stand out in attention logits",
        paper="all four",
        paper_value=4,
        criterion=all_of(PERIODS),
        roles=("finetuned",),
        measure=periods_in_logits("finetuned", "attention"),
        seen_in=("figure-3",),
    ),
    Statement(
        claim="3c",
        says="Low frequencies are stronger in MLP logits than in attention logits",
        paper="strong in MLPs, not in attention",
        paper_value=None,
        criterion=above(1, "times"),
        roles=("finetuned",),
        measure=low_frequencies_of_mlps,
        seen_in=("figure-3", "figure-10"),
    ),
    Statement(
        claim="4",
        says="The largest Fourier components of the final logits, summed, peak at the answer",
        paper="at the answer of the running example, 5 components",
        paper_value=None,
        criterion=at_least("most"),
        roles=("finetuned",),
        measure=peaks_at_the_answer,
        seen_in=("figure-4",),
    ),
    Statement(
        claim="5a",
        says="Attention does not need low frequencies",
        paper="0.6% of the accuracy lost",
        paper_value=0.0062,
        criterion=at_most("unharmed"),
        roles=("finetuned",),
        measure=lost_to_filters("attention does not need low frequencies"),
        seen_in=("table-1",),
    ),
    Statement(
        claim="5b",
        says="Attention needs high frequencies",
        paper="21.4% of the accuracy lost",
        paper_value=0.2144,
        criterion=at_least("harmed"),
        roles=("finetuned",),
        measure=lost_to_filters("attention needs high frequencies"),
        seen_in=("table-1",),
    ),
    Statement(
        claim="5c",
        says="MLPs need low frequencies",
        paper="64.0% of the accuracy lost",
        paper_value=0.6402,
        criterion=at_least("harmed"),
        roles=("finetuned",),
        measure=lost_to_filters("MLPs need low frequencies"),
        seen_in=("table-1",),
    ),
    Statement(
        claim="5d",
        says="MLPs hardly need high frequencies",
        paper="1.6% of the accuracy lost",
        paper_value=0.0164,
        criterion=at_most("unharmed"),
        roles=("finetuned",),
        measure=lost_to_filters("MLPs hardly need high frequencies"),
        seen_in=("table-1",),
    ),
    Statement(
        claim="5e",
        says="Both bands are needed",
        paper="72.9% of the accuracy lost",
        paper_value=0.7285,
        criterion=at_least("harmed"),
        roles=("finetuned",),
        measure=lost_to_filters("both bands are needed"),
        seen_in=("table-1",),
    ),
    Statement(
        claim="6a",
        says="Without low frequencies in MLPs, errors are multiples of 10",
        paper="all errors shown",
        paper_value=1.0,
        criterion=at_least("nearly_all"),
        roles=("finetuned",),
        measure=errors_that("mlp-low", lambda error: error % 10 == 0, "are multiples of 10"),
        seen_in=("figure-21",),
    ),
    Statement(
        claim="6b",
        says="Without high frequencies in attention, every error is below 6",
        paper="all errors",
        paper_value=1.0,
        criterion=at_least("nearly_all"),
        roles=("finetuned",),
        measure=errors_that("attention-high", lambda error: np.abs(error) < 6, "are below 6"),
        seen_in=("figure-21",),
    ),
    Statement(
        claim="7a",
        says="Period 2 kept alone predicts the parity of the answer",
        paper="99.59 %",
        paper_value=0.9959,
        criterion=at_least("nearly_all"),
        roles=("finetuned",),
        measure=parity_from_period_2,
        seen_in=("figure-11",),
    ),
    Statement(
        claim="7b",
        says="The longest period kept alone misses the answer modulo that period",
        paper="96.61 %",
        paper_value=0.9661,
        criterion=at_least("nearly_all"),
        roles=("finetuned",),
        measure=longest_period_misses,
        seen_in=("figure-12",),
    ),
    Statement(
        claim="8a",
        says="Periods 2, 2.5, 5 and 10 stand out in the number embedding of a pre-trained model",
        paper="all four in GPT-2-XL, RoBERTa and Phi-2",
        paper_value=4,
        criterion=all_of(PERIODS),
        roles=("embeddings",),
        measure=periods_in_embedding("embeddings", "embeddings"),
        seen_in=("figure-15",),
    ),
    Statement(
        claim="8b",
        says="Clusters of the number embedding group numbers by magnitude",
        paper="shown for one model",
        paper_value=None,
        criterion=beyond_chance,
        roles=("embeddings",),
        measure=clusters_explain(lambda numbers: numbers),
        seen_in=("figure-5",),
    ),
    Statement(
        claim="8c",
        says="Clusters of the number embedding group multiples of 10",
        paper="shown for one model",
        paper_value=None,
        criterion=beyond_chance,
        roles=("embeddings",),
        measure=clusters_explain(lambda numbers: (numbers % 10 == 0).astype(np.float64)),
        seen_in=("figure-5",),
    ),
    Statement(
        claim="9a",
        says="The model from scratch stays below the fine-tuned one",
        paper="94.44 % against 99.74 %",
        paper_value=-0.053,
        criterion=below(0, "difference"),
        roles=("scratch", "finetuned"),
        measure=accuracy_against("scratch", "finetuned"),
        seen_in=("figure-7",),
    ),
    Statement(
        claim="9b",
        says="Every error of the model from scratch is within 2",
        paper="all errors",
        paper_value=1.0,
        criterion=at_least("nearly_all"),
        roles=("scratch",),
        measure=errors_within_2("scratch"),
        seen_in=("figure-23",),
    ),
    Statement(
        claim="9c",
        says="Without pre-training, none of the four periods stands out in MLP logits",
        paper="none",
        paper_value=0,
        criterion=none_of(PERIODS),
        roles=("scratch",),
        measure=periods_in_logits("scratch", "mlp"),
        seen_in=("figure-6",),
    ),
    Statement(
        claim="9d",
        says="Without pre-training, none of the four periods stands out in attention logits",
        paper="none",
        paper_value=0,
        criterion=none_of(PERIODS),
        roles=("scratch",),
        measure=periods_in_logits("scratch", "attention"),
        seen_in=("figure-6",),
    ),
    Statement(
        claim="9e",
        says="Without pre-training, none of the four periods stands out in the number embedding",
        paper="none",
        paper_value=0,
        criterion=none_of(PERIODS),
        roles=("scratch",),
        measure=periods_in_embedding("scratch", "scratch_embedding"),
        seen_in=("figure-7",),
    ),
    Statement(
        claim="10a",
        says="With frozen pre-trained token embeddings an otherwise random model learns addition, every seed",
        paper="100 % in 5 of 5 seeds",
        paper_value=1.0,
        criterion=at_least("learned"),
        roles=("frozen",),
        measure=worst_seed("frozen"),
        seen_in=("figure-7",),
    ),
    Statement(
        claim="10b",
        says="It is more accurate than the model from scratch",
        paper="100 % against 53.95 %",
        paper_value=0.4605,
        criterion=above(0, "difference"),
        roles=("frozen", "small_scratch"),
        measure=accuracy_against("frozen", "small_scratch"),
        seen_in=("figure-7",),
    ),
    Statement(
        claim="10c",
        says="It is as good as the model from scratch sooner",
        paper="faster",
        paper_value=None,
        criterion=below(1, "times the epochs"),
        roles=("frozen", "small_scratch"),
        measure=epochs_against("frozen", "small_scratch"),
        seen_in=("figure-7",),
    ),
    Statement(
        claim="10d",
        says="Its MLP logits have the four periods again",
        paper="all four",
        paper_value=4,
        criterion=all_of(PERIODS),
        roles=("frozen",),
        measure=periods_in_logits("frozen", "mlp"),
        seen_in=("figure-8",),
    ),
    Statement(
        claim="10e",
        says="It is the pre-trained rows and not the freezing: frozen random rows of the same norm are worse",
        paper="not tested",
        paper_value=None,
        criterion=above(0, "difference"),
        roles=("frozen", "frozen_random"),
        measure=accuracy_against("frozen", "frozen_random"),
        seen_in=("figure-7",),
    ),
    Statement(
        claim="11a",
        says="The fine-tuned model learns much of multiplication",
        paper="74.58 % on the validation split",
        paper_value=0.7458,
        criterion=at_least("most"),
        roles=("multiplication",),
        measure=mean_test_accuracy("multiplication"),
    ),
    Statement(
        claim="11b",
        says="Periods 2, 2.5, 3.3, 5 and 10 stand out in MLP logits of multiplication",
        paper="all five",
        paper_value=5,
        criterion=all_of(MULTIPLICATION_PERIODS),
        roles=("multiplication",),
        measure=periods_in_logits("multiplication", "mlp", MULTIPLICATION_PERIODS),
        seen_in=("figure-16",),
    ),
    Statement(
        claim="12",
        says="Periods 2, 2.5, 5 and 10 stand out in MLP logits of reverse Polish prompts",
        paper="all four",
        paper_value=4,
        criterion=all_of(PERIODS),
        roles=("polish",),
        measure=periods_in_logits("polish", "mlp"),
        seen_in=("figure-18",),
    ),
    Statement(
        claim="13a",
        says="Most errors of a prompted model are multiples of 10",
        paper="93 % (GPT-J), 73 % (Phi-2)",
        paper_value=0.73,
        criterion=at_least("most"),
        roles=("prompted",),
        measure=multiples_of_10_among_prompted_errors,
        seen_in=("figure-9",),
    ),
    Statement(
        claim="13b",
        says="Periods 2, 2.5, 5 and 10 stand out in MLP logits of a prompted model",
        paper="all four",
        paper_value=4,
        criterion=all_of(PERIODS),
        roles=("prompted_logits",),
        measure=periods_in_logits("prompted_logits", "mlp"),
        seen_in=("figure-9",),
    ),
    Statement(
        claim="13c",
        says=(
            "At an operand's last token, the residual stream holds the operand on circles of periods 2, 5 "
            "and 10, in most layers"
        ),
        paper="not tested; shown for number embeddings",
        paper_value=None,
        criterion=all_of(CIRCLES),
        roles=("probed",),
        measure=circles_at("a", "a", everywhere=True),
        seen_in=("position-probes",),
    ),
    Statement(
        claim="13d",
        says=(
            "Before the first token of the answer, the residual stream holds the sum on circles of periods "
            "2, 5 and 10, after some layer"
        ),
        paper="the logits there have these periods",
        paper_value=None,
        criterion=all_of(CIRCLES),
        roles=("probed",),
        measure=circles_at("answer 1", "sum", everywhere=False),
        seen_in=("position-probes",),
    ),
    Statement(
        claim="13e",
        says=(
            "Before the last token of the answer, the residual stream holds the sum on circles of periods 2, "
            "5 and 10, after some layer"
        ),
        paper="the logits there have these periods",
        paper_value=None,
        criterion=all_of(CIRCLES),
        roles=("probed",),
        measure=circles_at("last answer", "sum", everywhere=False),
        seen_in=("position-probes",),
    ),
    Statement(
        claim="14",
        says="Closed models add without an example",
        paper="100 % (GPT-3.5), 100 % (GPT-4), 87 % (PaLM-2)",
        paper_value=0.87,
        criterion=at_least("most"),
        roles=("closed",),
        measure=right_answers_of_closed_models,
    ),
    Statement(
        claim="15a",
        says=(
            "Turning the phases of the last digit's periods by some numbers moves the answer's last digit by "
            "just that"
        ),
        paper="not tested",
        paper_value=None,
        criterion=at_least("most"),
        roles=("finetuned",),
        measure=turned(["turn"]),
    ),
    Statement(
        claim="15b",
        says="Turning random planes, by random phases or planes of unused periods does not",
        paper="not tested",
        paper_value=None,
        criterion=at_most("control"),
        roles=("finetuned",),
        measure=turned(CONTROLS),
    ),
    Statement(
        claim="16a",
        says="Low frequencies of another prompt bring its magnitude with the own last digit",
        paper="not tested",
        paper_value=None,
        criterion=at_least("most"),
        roles=("finetuned",),
        measure=exchanged(["low"], ["replace"], ["magnitude"]),
    ),
    Statement(
        claim="16b",
        says="The last digit's periods of another prompt bring its last digit with the own magnitude",
        paper="not tested",
        paper_value=None,
        criterion=at_least("most"),
        roles=("finetuned",),
        measure=exchanged(["periods"], ["replace"], ["residue"]),
    ),
    Statement(
        claim="16c",
        says="Exchanging random subspaces, unused periods or either band with random phases brings neither",
        paper="not tested",
        paper_value=None,
        criterion=at_most("control"),
        roles=("finetuned",),
        measure=exchanged(["low", "periods", "unused"], CONTROLS, ["magnitude", "residue"]),
    ),
)
"""In the order of the claims.

Claims 15 and 16 are not the paper's: they say of low and high frequencies what an ablation cannot. Claim 9
also says that late MLPs decide last in a model from scratch: figure 22 shows that, and no statement tests it.
"""
