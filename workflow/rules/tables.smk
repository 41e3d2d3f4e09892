# Tables: views on runs, as figures are; and the paper's claims against the study.


rule table:
    input:
        unpack(table_inputs),
    output:
        csv=report(
            paths.table("{table}", "csv"),
            caption="../report/table.rst",
            category="Tables",
        ),
        md=paths.table("{table}", "md"),
        tex=paths.table("{table}", "tex"),
    log:
        "logs/tables/{table}.log",
    wildcard_constraints:
        table=alternatives([name for name in config["tables"] if name not in CLAIMS]),
    group:
        lambda wildcards: views_group(table_inputs(wildcards).values())
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(sized("table", "mem_mb")),
        runtime=sized("table", "runtime"),
        view=1,
    params:
        code=digest("table.py"),
        kind=lambda wildcards: config["tables"][wildcards.table]["kind"],
        names=lambda wildcards: table_names(config, wildcards.table),
    script:
        "../scripts/table.py"


rule claims:
    input:
        unpack(table_inputs),
    output:
        csv=report(
            paths.table("{table}", "csv"),
            caption="../report/claims.rst",
            category="Tables",
        ),
        md=paths.table("{table}", "md"),
        tex=paths.table("{table}", "tex"),
    log:
        "logs/tables/{table}.log",
    wildcard_constraints:
        table=alternatives(CLAIMS),
    group:
        lambda wildcards: views_group(table_inputs(wildcards).values())
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(sized("claims", "mem_mb")),
        runtime=sized("claims", "runtime"),
        view=1,
    params:
        code=digest("claims.py"),
        runs=lambda wildcards: claim_runs(config, wildcards.table),
        labels=lambda wildcards: claim_labels(config, wildcards.table),
        models=lambda wildcards: claim_models(config, wildcards.table),
        settings=claim_settings,
    script:
        "../scripts/claims.py"
