# Fourier features of addition: from weights to the paper's figures and table.
# Configuration names runs; figures are views on runs. See config/README.md.
from snakemake.utils import min_version

min_version("9.20")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/start.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/datasets.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/prompting.smk"
include: "workflow/rules/api.smk"
include: "workflow/rules/capture.smk"
include: "workflow/rules/fourier.smk"
include: "workflow/rules/probing.smk"
include: "workflow/rules/ablation.smk"
include: "workflow/rules/mechanism.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/explorer.smk"


rule all:
    input:
        final_output(),
    localrule: True
