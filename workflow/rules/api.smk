# Models behind an API. Nothing is sent unless an entry of `apis` says `send: true`.


rule query_api:
    input:
        dataset=lambda wildcards: paths.dataset(
            config["api_runs"][wildcards.api_run]["task"]
        ),
    output:
        predictions=paths.api_run("{api_run}", "predictions.parquet"),
        accuracy=paths.api_run("{api_run}", "accuracy.json"),
    log:
        "logs/api/{api_run}.log",
    wildcard_constraints:
        api_run=alternatives(config["api_runs"]),
    # Compute nodes often have no way out to the internet.
    localrule: True
    conda:
        "../../envs/api.yaml"
    resources:
        mem_mb=1000,
    params:
        code=digest("query_api.py"),
        api=lambda wildcards: config["apis"][
            config["api_runs"][wildcards.api_run]["api"]
        ],
        run=lambda wildcards: config["api_runs"][wildcards.api_run],
        answer=lambda wildcards: config["tasks"][
            config["api_runs"][wildcards.api_run]["task"]
        ]["answer"],
    script:
        "../scripts/query_api.py"
