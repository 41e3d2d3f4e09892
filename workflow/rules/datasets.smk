# Examples of each task: pairs, templates, splits.


rule dataset:
    output:
        layout.dataset("{task}"),
    log:
        "logs/datasets/{task}.log",
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(sized("dataset", "mem_mb")),
        runtime=sized("dataset", "runtime"),
    params:
        code=digest("dataset.py"),
        task=lambda wildcards: {
            key: value
            for key, value in config["tasks"][wildcards.task].items()
            if key != "running_example"
        },
    script:
        "../scripts/dataset.py"
