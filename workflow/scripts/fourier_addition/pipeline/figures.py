"""Figures as views on runs: every kind of figure in one record, and the figures of a configuration.

To add a kind: one `Kind` below, and its drawing function in `plots/kinds/{family}.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from fourier_addition.errors import UserError
from fourier_addition.pipeline.inputs import (
    Input,
    Shown,
    of_embedding,
    of_ranges,
    of_run,
    of_seeds,
)
from fourier_addition.pipeline.names import label_of, notes_of, task_of, tau_of
from fourier_addition.pipeline.run_checks import (
    Check,
    check_asked,
    check_embedding,
    check_interventions,
    check_kept,
    check_map,
    check_modules_captured,
    check_number_tokens,
    check_sums,
    check_trained,
    check_units,
)
from fourier_addition.tasks import Task

Config = Mapping[str, Any]

OPTIONS = ("layers", "layer", "max_component", "top", "window")
"""Keys of a figure's configuration that its drawing function is given as they are."""

WHY: dict[str, str] = {
    "run": "this figure shows one run",
    "runs": "this figure compares runs",
    "embeddings": "this figure shows number embeddings",
}
"""Keys of a figure's configuration that name what is shown -> why a kind needs the key."""


# What a figure is drawn with beside its tables. A kind lists the facts that its drawing function reads:
# any fact more would redraw the figure for nothing.


def _task(shown: Shown) -> Task:
    return task_of(shown.config, shown.config["runs"][shown.runs[0]]["task"])


def _answer(shown: Shown) -> int:
    task = _task(shown)
    return int(task.apply(*shown.config["tasks"][task.name]["running_example"]))


FACTS: dict[str, Callable[[Shown], Any]] = {
    # Of the one run that is shown.
    "answer": _answer,
    "numbers": lambda shown: _task(shown).numbers,
    "tau": lambda shown: tau_of(shown.config, _task(shown).numbers),
    # Of the analysis.
    "lens_norm": lambda shown: shown.config["analysis"]["lens_norm"],
    "basis": lambda shown: shown.config["analysis"]["basis"],
    "modulus": lambda shown: shown.config["interventions"]["modulus"],
    # What the tables of an input are of, in the order of the input.
    "names": lambda shown: list(shown.embeddings or shown.runs),
    "instances": Shown.every_seed,
    "run_ranges": Shown.every_range,
}
"""Fact -> what it is for what a figure shows."""


@dataclass(frozen=True)
class Kind:
    """One kind of figure.

    family: the script `figure_{family}.py` draws the kind, `report/{family}.rst` is its caption, and
    `plots/kinds/{family}.py` has its drawing function.
    shows: the keys that a figure of this kind must have, of `run`, `runs` and `embeddings`.
    inputs: name -> files, as the drawing function calls them.
    facts, caption_facts: what the drawing function and the caption are given beside them.
    run_checks, embedding_checks: what must hold of every run and every embedding that is shown.
    one_embedding: a figure of this kind shows one number embedding, not several.
    see: what to see in the figure, for the report. keys: the configuration keys that change the figure most.
    measured: what was measured, where `report/{family}.rst` speaks of several kinds.
    view: the explorer's view of the same results, empty where it has none.
    """

    name: str
    family: str
    description: str
    shows: tuple[str, ...]
    inputs: Mapping[str, Input]
    facts: tuple[str, ...] = ()
    caption_facts: tuple[str, ...] = ()
    run_checks: tuple[Check, ...] = (check_number_tokens,)
    embedding_checks: tuple[Check, ...] = (check_embedding,)
    one_embedding: bool = False
    see: str = ""
    keys: tuple[str, ...] = ()
    measured: str = ""
    view: str = ""


_ONE_RUN, _RUNS, _EMBEDDINGS = ("run",), ("runs",), ("embeddings",)
_TRAINED = (check_trained, check_number_tokens)
_UNITS = (check_units,)
_MAPPED = (check_embedding, check_map)
_LENS, _EXAMPLE = of_run("lens.parquet"), of_run("example.parquet")
_WAVES, _SPECTRA = of_run("waves.parquet"), of_run("spectra.parquet")
_SUMMARY = of_run("ablation/all/summary.parquet")
_FILTERED = of_run("ablation/all/predictions.parquet")
_DOSES, _PLACES = of_run("mechanism/steering/doses.parquet"), of_run("mechanism/steering/places.parquet")
_INTERVENED = (check_number_tokens, check_interventions)
_SUMMARIES_OF_RANGES = of_ranges("summary.parquet")
_HISTORIES, _ACCURACIES = of_seeds("history.parquet"), of_seeds("accuracy.json")
_EMBEDDING_SPECTRA = of_embedding("spectrum.parquet")
_POSITIONS = of_run("position-probes.parquet")
_CLUSTERS = of_embedding("clusters.parquet")
_spectrum = partial(Kind, family="spectrum", caption_facts=("basis",))

_KINDS = (
    # One run: what the model predicts layer by layer, and the logits of its modules.
    Kind(
        name="lens-and-heatmaps",
        family="pairs",
        description="logit lens beside the logits of every MLP and attention output",
        see=(
            "the answer is near after some layers and exact only after later ones; late rows show a "
            "peak at the answer"
        ),
        measured=(
            "accuracy of the residual stream's prediction after every layer, exact, within 2 and "
            "within 10, and the logits over the numbers of every MLP and attention output for the "
            "running example"
        ),
        keys=("analysis.lens_norm", "analysis.norm", "capture.split"),
        view="lens",
        shows=_ONE_RUN,
        inputs={"lens": _LENS, "example": _EXAMPLE},
        facts=("answer", "lens_norm"),
    ),
    Kind(
        name="lens",
        family="lens",
        description="accuracy of the logit lens by layer",
        see="the curve of within 10 rises layers before the exact one",
        keys=("analysis.lens_norm", "capture.split"),
        view="lens",
        shows=_ONE_RUN,
        inputs={"lens": _LENS},
        facts=("lens_norm",),
    ),
    Kind(
        name="heatmap",
        family="heatmap",
        description="logits of every MLP and attention output around the answer, layer by number",
        see="stripes of one spacing are a Fourier component; a single bright column is the answer",
        keys=("analysis.norm", "figures.<name>.window", "figures.<name>.layers"),
        view="lens",
        shows=_ONE_RUN,
        inputs={"example": _EXAMPLE},
        facts=("answer",),
    ),
    Kind(
        name="logits",
        family="logits",
        description="logits over the numbers of one MLP and one attention output",
        see="the curve repeats with the period that the module adds; the answer lies on a crest",
        keys=("analysis.norm", "figures.<name>.layer"),
        view="waves",
        shows=_ONE_RUN,
        inputs={"example": _EXAMPLE},
        facts=("answer",),
    ),
    # One run: the Fourier components of those logits.
    _spectrum(
        name="example-spectrum",
        description="spectrum of one MLP and one attention output for the running example",
        see="few sharp peaks: the module adds few periods",
        keys=("analysis.basis", "analysis.norm", "figures.<name>.layer"),
        view="spectrum",
        shows=_ONE_RUN,
        inputs={"spectra": of_run("example-spectra.parquet")},
        facts=("tau",),
    ),
    _spectrum(
        name="mean-spectra",
        description="spectra of MLP and attention outputs averaged over examples, a line for each layer",
        see=(
            "peaks at the same periods in many layers, which are labelled where they exceed what "
            "shuffled numbers give"
        ),
        keys=(
            "analysis.basis",
            "analysis.norm",
            "analysis.average",
            "analysis.null_level",
            "figures.<name>.layers",
        ),
        view="spectrum",
        shows=_ONE_RUN,
        inputs={"spectra": _SPECTRA},
    ),
    _spectrum(
        name="low-spectra",
        description="spectra of MLP and attention outputs up to the cut between low and high frequencies",
        see="which of the two modules has more below the cut",
        keys=("analysis.tau", "analysis.basis", "analysis.norm", "figures.<name>.layers"),
        view="spectrum",
        shows=_ONE_RUN,
        inputs={"spectra": _SPECTRA},
        facts=("tau",),
    ),
    Kind(
        name="waves-sum",
        family="waves",
        description="the largest components of the final logits as waves, and their sum",
        see="the waves meet at one number, where their sum is largest",
        keys=("analysis.basis", "analysis.norm", "figures.<name>.top"),
        view="waves",
        shows=_ONE_RUN,
        inputs={"waves": _WAVES},
    ),
    Kind(
        name="waves-band",
        family="waves",
        description="the largest components below and above the cut as waves",
        see="long waves mark the region of the answer, short waves pick the number within it",
        keys=("analysis.tau", "analysis.basis", "figures.<name>.top"),
        view="waves",
        shows=_ONE_RUN,
        inputs={"waves": _WAVES},
        facts=("tau",),
    ),
    Kind(
        name="waves-longest",
        family="waves",
        description="the component of the longest period as a wave",
        see="one crest over all numbers, near the answer",
        keys=("analysis.basis", "analysis.norm"),
        view="waves",
        shows=_ONE_RUN,
        inputs={"waves": _WAVES},
    ),
    # One run: how far its predictions are from the answers, as it is and under filters.
    Kind(
        name="errors",
        family="errors",
        description="distribution of the errors of the predictions",
        see="how many errors are small, and whether they pile up at multiples of a period",
        keys=("capture.split",),
        shows=_ONE_RUN,
        inputs={"predictions": of_run("predictions.parquet")},
    ),
    Kind(
        name="prompted-errors",
        family="errors",
        description="distribution of the errors of a prompted run's written answers",
        see="errors at multiples of 10: the last digit is right and another one is wrong",
        keys=("runs.<name>.shots", "runs.<name>.separator"),
        shows=_ONE_RUN,
        inputs={"predictions": of_run("answers.parquet")},
        facts=("numbers",),
        run_checks=(check_asked,),
    ),
    # One prompted run whose answers are several tokens, read token by token.
    Kind(
        name="number-errors",
        family="errors",
        description="errors of the likeliest number of a prompted run whose answers are several tokens",
        see="errors at multiples of 10: the last digit is right and another one is wrong",
        keys=("digits.answer_end", "digits.examples"),
        shows=_ONE_RUN,
        inputs={"predictions": of_run("digit-numbers.parquet")},
        run_checks=(check_asked,),
    ),
    Kind(
        name="digit-lens",
        family="lens",
        description="accuracy of the logit lens by layer at every token of the answer, true ones before it",
        see="which digit is settled first, and after which layer",
        measured="accuracy after every layer at each token of the answer, the right tokens before it",
        keys=("digits.split", "digits.examples"),
        shows=_ONE_RUN,
        inputs={"lens": of_run("digit-lens.parquet")},
        run_checks=(check_asked,),
    ),
    _spectrum(
        name="number-spectrum",
        description="spectrum of the final logits of numbers of several tokens, averaged over examples",
        see="the longest periods are large, as numbers of fewer tokens are likelier; peaks beside them",
        keys=("analysis.basis", "analysis.average", "digits.answer_end"),
        shows=_ONE_RUN,
        inputs={"spectra": of_run("digit-spectrum.parquet")},
        run_checks=(check_asked,),
    ),
    Kind(
        name="filtered-errors",
        family="errors",
        description="errors without the low frequencies of MLPs and without the high ones of attention",
        see="without low frequencies the errors are multiples of 10; without high ones they are small",
        keys=("analysis.tau", "ablations.positions", "ablations.split"),
        view="filters",
        shows=_ONE_RUN,
        inputs={"predictions": _FILTERED},
    ),
    Kind(
        name="kept-errors",
        family="errors",
        description="errors when every module keeps the component of the longest period only",
        see="the prediction is near the answer and misses the exact number",
        keys=("ablations.positions", "ablations.split"),
        view="filters",
        shows=_ONE_RUN,
        inputs={"predictions": _FILTERED},
    ),
    Kind(
        name="single-component",
        family="single_component",
        description="prediction against answer when every module keeps one component only",
        see="a short period alone gives the answer modulo that period, so the points lie on parallel lines",
        keys=("analysis.basis", "ablations.positions"),
        view="filters",
        shows=_ONE_RUN,
        inputs={"predictions": _FILTERED},
        facts=("numbers",),
    ),
    # Ablations: accuracy under filters.
    Kind(
        name="table",
        family="ablation",
        description="table 1 as a figure: accuracy under each filter beside random subspaces",
        see="a row matters where its dot lies below the grey band of random subspaces of the same rank",
        keys=("analysis.tau", "ablations.draws", "ablations.positions", "ablations.split"),
        view="filters",
        shows=_ONE_RUN,
        inputs={"summary": _SUMMARY},
    ),
    Kind(
        name="layers",
        family="ablation",
        description="accuracy when one band is removed at one layer",
        see="the layers at which removing a band costs accuracy",
        keys=("ablations.bands", "ablations.layers", "ablations.positions"),
        view="filters",
        shows=_ONE_RUN,
        inputs={"summary": _SUMMARY},
    ),
    Kind(
        name="tau",
        family="ablation",
        description="accuracy against the cut between low and high frequencies",
        see="where the accuracy falls as the band that is removed grows",
        keys=("ablations.taus", "analysis.tau"),
        view="filters",
        shows=_ONE_RUN,
        inputs={"summary": _SUMMARY},
        facts=("tau",),
    ),
    Kind(
        name="periods",
        family="ablation",
        description="accuracy when one component is removed",
        see="the periods that the model cannot do without",
        keys=("ablations.periods", "ablations.period_tolerance"),
        view="filters",
        shows=_ONE_RUN,
        inputs={"summary": _SUMMARY},
        facts=("numbers",),
    ),
    Kind(
        name="digit-ranges",
        family="ablation",
        description="table 1 for every digit range of the operands and every run",
        see="whether a row of table 1 holds for small and for large operands alike",
        keys=("ablations.digit_ranges", "ablations.draws"),
        shows=_RUNS,
        inputs={"summaries": _SUMMARIES_OF_RANGES},
        facts=("run_ranges",),
    ),
    Kind(
        name="range-heatmap",
        family="ablation",
        description="accuracy by filter and digit range, a panel for each run",
        see="the ranges and filters at which accuracy is lost, dark is right",
        keys=("ablations.digit_ranges",),
        shows=_RUNS,
        inputs={"summaries": _SUMMARIES_OF_RANGES},
        facts=("run_ranges",),
    ),
    # Interventions: phases turned, and bands exchanged between prompts.
    Kind(
        name="dose-response",
        family="interventions",
        description="how far answers move when the phases of the last digit's periods are turned",
        see=(
            "large dots on the diagonals: turned by d, the last digit moves by d; the curves of "
            "turned phases lie above their controls"
        ),
        keys=("interventions.deltas", "interventions.periods", "interventions.modulus"),
        measured=(
            "answers after the phases of the chosen periods were turned in the residual stream, and "
            "the share of last digits that moved by just the turn, beside random planes, random "
            "phases and unused periods"
        ),
        view="steering",
        shows=_ONE_RUN,
        inputs={"moves": of_run("mechanism/steering/moves.parquet"), "doses": _DOSES, "places": _PLACES},
        facts=("modulus",),
        run_checks=_INTERVENED,
    ),
    Kind(
        name="steering",
        family="interventions",
        description="how often turned phases move the last digit, at every place and beside controls",
        see=(
            "the rows in which turns move the last digit; random phases, random planes, unused "
            "periods and circles of shuffled numbers stay pale"
        ),
        keys=(
            "interventions.deltas",
            "interventions.periods",
            "interventions.unused_periods",
            "interventions.probe_planes",
            "interventions.layers",
        ),
        measured=("share of answers whose last digit moved by just the turn, for every place and every turn"),
        view="steering",
        shows=_ONE_RUN,
        inputs={"doses": _DOSES},
        run_checks=_INTERVENED,
    ),
    Kind(
        name="exchange",
        family="interventions",
        description="whose residue and whose magnitude an answer has after bands were exchanged",
        see=(
            "the last digit comes with its periods and the magnitude with the low frequencies; random"
            " subspaces of equal rank carry neither"
        ),
        keys=("interventions.periods", "interventions.modulus", "analysis.tau"),
        measured=(
            "answers after the coefficients of a band were replaced by those of another prompt: whose"
            " last digit and whose magnitude they have"
        ),
        shows=_ONE_RUN,
        inputs={"exchange": of_run("mechanism/exchange/outcomes.parquet"), "places": _PLACES},
        facts=("modulus",),
        run_checks=_INTERVENED,
    ),
    # One run: its heads and neurons.
    Kind(
        name="head-spectra",
        family="units",
        description="what every attention head writes by component, and how far it turns with the answer",
        see="the few heads that write the periods of base ten, and which of them turn with the answer",
        keys=("units.bands", "units.baseline", "figures.<name>.layers"),
        measured="Each head's output, through its rows of W_O and the unembedding, component by component.",
        shows=_ONE_RUN,
        inputs={"components": of_run("units/components.parquet")},
        run_checks=_UNITS,
    ),
    Kind(
        name="unit-concentration",
        family="units",
        description="share of a band's power in the top heads and neurons of each layer",
        see="how few heads or neurons hold most of a band",
        keys=("units.bands", "units.baseline"),
        measured="Power of a band in each head's and neuron's logits, the largest first.",
        shows=_ONE_RUN,
        inputs={"ranks": of_run("units/ranks.parquet")},
        run_checks=_UNITS,
    ),
    Kind(
        name="neuron-activations",
        family="units",
        description="activations of the top neurons of each band against the answer",
        see="whether a neuron follows a wave in the answer, or fires around one answer",
        keys=("units.shown", "figures.<name>.top"),
        measured="Mean activations of the top neurons of each band, for each answer.",
        shows=_ONE_RUN,
        inputs={"activations": of_run("units/activations.parquet")},
        run_checks=_UNITS,
    ),
    Kind(
        name="head-ablation",
        family="units",
        description="what is left of the answers without the top heads of a layer, beside random heads",
        see="which heads cost the last digit and which the magnitude, below the grey area of random heads",
        keys=("units.counts", "units.draws", "units.baseline"),
        measured="Answers when the top heads of a layer hold their mean.",
        shows=_ONE_RUN,
        inputs={"knockouts": of_run("units/knockouts.parquet")},
        run_checks=_UNITS,
    ),
    Kind(
        name="neuron-ablation",
        family="units",
        description="what is left of the answers without the top neurons of a layer, beside random neurons",
        see="how many neurons it takes to harm the answer, below the grey area of random neurons",
        keys=("units.counts", "units.draws", "units.baseline"),
        measured="Answers when the top neurons of a layer hold their mean.",
        shows=_ONE_RUN,
        inputs={"knockouts": of_run("units/knockouts.parquet")},
        run_checks=_UNITS,
    ),
    # Several runs.
    Kind(
        name="training",
        family="training",
        description="validation accuracy by epoch, mean and deviation over seeds",
        see="which arm is exact, and how soon",
        keys=("runs.<name>.epochs", "runs.<name>.evaluate_every", "runs.<name>.seeds"),
        shows=_RUNS,
        inputs={"histories": _HISTORIES},
        facts=("instances",),
        run_checks=_TRAINED,
    ),
    Kind(
        name="arms",
        family="training",
        description="test accuracy after training, a dot for each seed",
        see="the spread over seeds, and which arm ends higher than another",
        measured="accuracy on the test split after training, with its interval; the upright line is the mean",
        keys=("runs.<name>.seeds", "runs.<name>.epochs"),
        shows=_RUNS,
        inputs={"accuracies": _ACCURACIES},
        facts=("instances",),
        run_checks=_TRAINED,
    ),
    Kind(
        name="layer-probes",
        family="probes",
        description="probes of the number modulo T on the residual stream, by layer",
        see="the layers from which the answer modulo T can be read, above the grey area of shuffled numbers",
        keys=("analysis.probe_moduli", "analysis.probe_folds", "analysis.probe_shuffles"),
        shows=_RUNS,
        inputs={"probes": of_run("probes.parquet")},
        facts=("names",),
    ),
    # Named positions: operands and answer tokens.
    Kind(
        name="position-probes",
        family="circles",
        description="Fourier probes of operands and sum at named positions: R2 by layer and period",
        see="circles of operands at periods 2, 5 and 10, beside grey controls, and where the sum's begin",
        keys=("analysis.probe_periods", "analysis.probe_states", "capture.position_examples"),
        measured=(
            "held-out R2 of Fourier probes (ridge regression of cos and sin of 2 pi n / T), by layer and "
            "period; periods in grey are controls, a white dot marks an R2 above shuffled numbers"
        ),
        view="circles",
        shows=_ONE_RUN,
        inputs={"probes": _POSITIONS},
        run_checks=(),
    ),
    Kind(
        name="digit-probes",
        family="circles",
        description="Fourier probes of the sum's digits before each answer token: R2 by layer and period",
        see="circles of periods 2, 5 and 10 that begin before the token of just that digit",
        keys=("analysis.probe_periods", "analysis.probe_states", "capture.position_examples"),
        measured=(
            "held-out R2 of Fourier probes of each digit of the sum, by layer and period, before each token "
            "of the answer; periods in grey are controls, a white dot marks an R2 above shuffled numbers"
        ),
        shows=_ONE_RUN,
        inputs={"probes": _POSITIONS},
        run_checks=(),
    ),
    Kind(
        name="coarse-to-fine",
        family="circles",
        description="Fourier probes of the sum before each answer token, a curve by layer for each period",
        see="long periods that rise in earlier layers than short ones: magnitude first, residues later",
        keys=("analysis.probe_periods", "analysis.probe_states", "capture.position_examples"),
        measured=(
            "held-out R2 of Fourier probes of the sum, by layer; dotted curves are periods that decimal "
            "numbers do not have, the grey band is what shuffled numbers give"
        ),
        view="circles",
        shows=_ONE_RUN,
        inputs={"probes": _POSITIONS},
        run_checks=(),
    ),
    Kind(
        name="contributions",
        family="circles",
        description="what attention and MLP outputs add to the sum's circles (`capture.position_modules`)",
        see="the few layers whose MLP or attention outputs write a circle of the sum",
        keys=("capture.position_modules", "analysis.probe_periods"),
        measured=(
            "what every attention and MLP output adds to a circle of the sum that a Fourier probe reads: "
            "the parts, with that of the embedding, sum to the slope of what is read on the truth"
        ),
        shows=_ONE_RUN,
        inputs={"contributions": of_run("contributions.parquet")},
        run_checks=(check_modules_captured,),
    ),
    Kind(
        name="carries",
        family="carries",
        description="accuracy of written answers by the number of carries in the sum",
        see="whether sums with more carries are answered worse",
        keys=("tasks.<name>.operands", "runs.<name>.shots"),
        shows=_RUNS,
        inputs={"answers": of_run("answers.parquet")},
        facts=("names",),
        run_checks=(check_asked, check_sums),
    ),
    Kind(
        name="helix",
        family="helix",
        description="share of the residual stream's variance that helices of operands and answer explain",
        see=(
            "how much of the answer the helix explains, above the grey area of shuffled numbers and "
            "below PCA of the same dimension"
        ),
        keys=("analysis.helix_periods", "analysis.helix_folds", "analysis.helix_shuffles"),
        measured=(
            "share of the held-out variance of residual states that helices, their line and their "
            "circles explain, fitted by least squares"
        ),
        shows=_RUNS,
        inputs={"helix": of_run("helix.parquet")},
        facts=("names",),
    ),
    Kind(
        name="progress",
        family="progress",
        description="restricted and excluded loss, and the key periods, at epochs of training",
        see=(
            "when the key periods rise above the grey control periods, and whether the excluded loss "
            "then parts from the loss"
        ),
        keys=("analysis.progress_periods", "analysis.progress_controls", "runs.<name>.keep_checkpoints"),
        shows=_RUNS,
        inputs={
            "losses": of_run("progress.parquet"),
            "spectra": of_run("progress-spectra.parquet"),
        },
        facts=("names",),
        run_checks=(check_trained, check_kept, check_number_tokens),
    ),
    Kind(
        name="helix-patch",
        family="helix",
        description="logit difference after the helix of the answer was patched in, by layer",
        see=(
            "how close the patched helix comes to the state of the source, and that a helix of "
            "shuffled numbers does nothing"
        ),
        keys=("analysis.helix_periods", "analysis.helix_patched"),
        measured=(
            "logit of the answer of a source prompt, and how often it is given, after a state was "
            "replaced by the helix of that answer"
        ),
        shows=_RUNS,
        inputs={"patches": of_run("helix-patches.parquet")},
        facts=("names",),
    ),
    _spectrum(
        name="spectra-comparison",
        description="mean spectra of several runs, a row of panels for each",
        see="which runs have the periods of a pre-trained model and which have none",
        keys=("analysis.basis", "analysis.norm", "analysis.null_level", "figures.<name>.layers"),
        view="spectrum",
        shows=_RUNS,
        inputs={"spectra": _SPECTRA},
    ),
    # Number embeddings.
    Kind(
        name="embedding",
        family="embedding",
        description="spectrum of each number embedding",
        see="peaks at 2, 2.5, 5 and 10, which text in base ten leaves in a pre-trained embedding",
        keys=("embeddings.<name>.numbers", "analysis.null_level", "analysis.null_window"),
        view="spectrum",
        shows=_EMBEDDINGS,
        inputs={"spectra": _EMBEDDING_SPECTRA},
        facts=("names",),
    ),
    Kind(
        name="clusters",
        family="clusters",
        description="t-SNE map and k-means clusters of a number embedding",
        see="numbers of one magnitude, or of one last digit, lie together",
        keys=("analysis.clusters", "analysis.perplexity"),
        shows=_EMBEDDINGS,
        inputs={"clusters": _CLUSTERS},
        facts=("names",),
        embedding_checks=_MAPPED,
        one_embedding=True,
    ),
    Kind(
        name="probes",
        family="probes",
        description="probes of the number modulo T on number embeddings",
        see="how well n mod T can be read from the embedding, above the grey area of shuffled numbers",
        keys=("analysis.probe_moduli", "analysis.probe_folds", "analysis.probe_shuffles"),
        shows=_EMBEDDINGS,
        inputs={"probes": of_embedding("probes.parquet")},
        facts=("names",),
    ),
    Kind(
        name="embedding-and-clusters",
        family="pairs",
        description="spectrum of a number embedding beside its map and clusters",
        see="peaks at 2, 2.5, 5 and 10 on the left; numbers of one magnitude together on the right",
        measured=(
            "the spectrum of the number rows of the token embedding over its median, with the "
            "components that stand out from shuffled numbers, and a t-SNE map with k-means clusters"
        ),
        keys=("embeddings.<name>.numbers", "analysis.null_level", "analysis.clusters", "analysis.perplexity"),
        view="spectrum",
        shows=_EMBEDDINGS,
        inputs={"spectra": _EMBEDDING_SPECTRA, "clusters": _CLUSTERS},
        facts=("names",),
        embedding_checks=_MAPPED,
        one_embedding=True,
    ),
    Kind(
        name="embedding-and-training",
        family="pairs",
        description="spectrum of a number embedding beside validation accuracy by epoch of several runs",
        see=(
            "the embedding without pre-training has no peak at the four periods, and its run learns "
            "later or never"
        ),
        measured=(
            "the spectrum of the number embedding of the model from scratch, and validation accuracy "
            "by epoch for every arm, mean and deviation over seeds"
        ),
        keys=("runs.<name>.epochs", "runs.<name>.seeds", "analysis.null_level"),
        shows=(*_RUNS, *_EMBEDDINGS),
        inputs={"histories": _HISTORIES, "spectra": _EMBEDDING_SPECTRA},
        facts=("instances", "names"),
        run_checks=_TRAINED,
        one_embedding=True,
    ),
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _KINDS}
"""Every kind of figure, by name."""
FAMILIES = tuple(sorted({kind.family for kind in _KINDS}))
"""Every script family: `figure_{family}.py`."""

PAPER: dict[str, tuple[str, Mapping[str, Any]]] = {
    "figure-1": ("lens-and-heatmaps", {}),
    "figure-2": ("example-spectrum", {"top": 10}),
    "figure-3": ("mean-spectra", {"layers": 16}),
    "figure-4": ("waves-sum", {"top": 5}),
    "figure-5": ("embedding-and-clusters", {}),
    "figure-6": ("mean-spectra", {"layers": 16}),
    "figure-7": ("embedding-and-training", {}),
    "figure-8": ("spectra-comparison", {}),
    "figure-9": ("mean-spectra", {}),
    "figure-10": ("low-spectra", {"layers": 16}),
    "figure-11": ("single-component", {}),
    "figure-12": ("kept-errors", {}),
    "figure-13": ("waves-band", {"top": 10}),
    "figure-14": ("waves-longest", {}),
    "figure-15": ("embedding", {}),
    "figure-16": ("mean-spectra", {}),
    "figure-17": ("heatmap", {"layers": 16}),
    "figure-18": ("mean-spectra", {}),
    "figure-19": ("mean-spectra", {}),
    "figure-20": ("logits", {}),
    "figure-21": ("filtered-errors", {}),
    "figure-22": ("heatmap", {"layers": 16}),
    "figure-23": ("errors", {}),
}
"""The paper's figures (numbers of the camera-ready): kind and the options that it sets."""


@dataclass(frozen=True)
class View:
    """One figure: inputs by name (paths), options for the plot, words for the report."""

    name: str
    kind: str
    family: str
    inputs: Mapping[str, Any]
    options: Mapping[str, Any]
    caption: Mapping[str, Any]


def views(config: Config) -> dict[str, View]:
    """Every figure of a checked configuration, by name.

    Raises UserError that names the figure when it lacks the run or embedding that it shows.
    """
    return {name: _view(config, name, entry) for name, entry in config["figures"].items()}


def _view(config: Config, name: str, entry: Mapping[str, Any]) -> View:
    """One figure of a checked configuration. Raises UserError that names the figure."""
    kind, preset = _kind_of(name, entry)
    shown = _shown(config, kind, name, entry)
    labels = {each: label_of(config, each) for each in [*shown.runs, *shown.embeddings]}

    # The drawing function is given the options of the paper's figure unless the configuration says
    # otherwise, and the facts that its kind names.
    given = {key: entry[key] for key in OPTIONS if key in entry}
    facts = {fact: FACTS[fact](shown) for fact in kind.facts}
    note = notes_of(config, list(labels))
    options = {**preset, **given, "note": note, **facts, "labels": labels}

    # The caption of the report says what is shown, and how.
    caption = {"figure": name, "kind": kind.name, "shown": ", ".join(labels.values()), "note": note}
    caption |= {fact: FACTS[fact](shown) for fact in kind.caption_facts}

    inputs = {key: paths_of(shown) for key, paths_of in kind.inputs.items()}
    return View(name, kind.name, kind.family, inputs, options, caption)


def _kind_of(name: str, entry: Mapping[str, Any]) -> tuple[Kind, Mapping[str, Any]]:
    """Kind of a figure and the options that come with it."""
    if name in PAPER:
        if "kind" in entry:
            raise UserError(f"Config key `figures.{name}.kind`: the paper's figures have their kind.")
        kind, preset = PAPER[name]
        return KINDS[kind], preset
    if "kind" not in entry:
        raise UserError(
            f"Config key `figures.{name}` is not a figure of the paper (figure-1 to figure-23) "
            f"and has no `kind`; kinds are {', '.join(KINDS)}."
        )
    if entry["kind"] not in KINDS:
        raise UserError(f"Config key `figures.{name}.kind` must be one of {', '.join(KINDS)}.")
    return KINDS[entry["kind"]], {}


def _shown(config: Config, kind: Kind, name: str, entry: Mapping[str, Any]) -> Shown:
    """What a figure shows, checked. Raises UserError where the figure's kind cannot show it."""
    found: dict[str, list[str]] = {"run": [], "runs": [], "embeddings": []}
    for key in kind.shows:
        if key not in entry:
            raise UserError(f"Config key `figures.{name}.{key}` is missing: {WHY[key]}.")
        found[key] = [entry[key]] if key == "run" else list(entry[key])
        checks = kind.embedding_checks if key == "embeddings" else kind.run_checks
        for each in found[key]:
            for check in checks:
                check(config, each, f"figures.{name}.{key}")
    if kind.one_embedding and len(found["embeddings"]) > 1:
        raise UserError(
            f"Config key `figures.{name}.embeddings` names {len(found['embeddings'])} number embeddings, but "
            f"a figure of kind `{kind.name}` shows one."
        )
    if "run_ranges" in kind.facts and not config["ablations"]["digit_ranges"]:
        raise UserError(
            f"Config key `figures.{name}` is of kind `{kind.name}`, but `ablations.digit_ranges` names no "
            "range."
        )
    return Shown(config, entry["seed"], runs=found["run"] + found["runs"], embeddings=found["embeddings"])
