# Examples of each task: pairs, templates, splits.


rule dataset:
    output:
        paths.dataset("{task}"),
    log:
        "logs/datasets/{task}.log",
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(sized("dataset", "mem_mb")),
        runtime=sized("dataset", "runtime"),
    params:
        code=digest("dataset.py"),
        task=lambda wildcards: example_keys(wildcards.task),
    script:
        "../scripts/dataset.py"
