# The page to look around in the results: of all runs, from what figures and tables read.


rule explorer:
    input:
        unpack(explorer_files),
    output:
        html=paths.explorer(),
    log:
        "logs/explorer.log",
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(sized("explorer", "mem_mb")),
        runtime=sized("explorer", "runtime"),
    params:
        code=digest("explorer.py"),
        page=page_digest(),
        runs=explorer_facts(config),
        examples=config["explorer"]["examples"],
        modulus=config["interventions"]["modulus"],
        analysis={
            key: config["analysis"][key] for key in ("basis", "norm", "lens_norm")
        },
    script:
        "../scripts/explorer.py"
