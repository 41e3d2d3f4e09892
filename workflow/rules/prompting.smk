# Runs that are asked and not trained: solved examples before every prompt, the model as it comes.


rule solved_examples:
    input:
        dataset=lambda wildcards: paths.dataset(run_of(wildcards)["task"]),
    output:
        prompts=paths.run("{run}", "prompts.parquet"),
        shots=paths.run("{run}", "shots.json"),
    log:
        "logs/runs/{run}/solved-examples.log",
    wildcard_constraints:
        run=alternatives(PROMPTED),
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(sized("solved_examples", "mem_mb")),
        runtime=sized("solved_examples", "runtime"),
    params:
        code=digest("solved_examples.py"),
        shots=shots_params,
        answer=lambda wildcards: config["tasks"][run_of(wildcards)["task"]]["answer"],
    script:
        "../scripts/solved_examples.py"


rule adopt_model:
    input:
        model=lambda wildcards: paths.model(run_of(wildcards)["model"]) + ".json",
        weights=checkpoint_of,
    output:
        manifest=paths.run("{run}", "checkpoint.json"),
    log:
        "logs/runs/{run}/adopt-model.log",
    wildcard_constraints:
        run=alternatives(PROMPTED),
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(sized("adopt_model", "mem_mb")),
        runtime=sized("adopt_model", "runtime"),
    params:
        code=digest("adopt_model.py"),
    script:
        "../scripts/adopt_model.py"


rule prompt:
    input:
        checkpoint=paths.run("{run}", "checkpoint.json"),
        weights=checkpoint_of,
        prompts=paths.run("{run}", "prompts.parquet"),
        shots=paths.run("{run}", "shots.json"),
    output:
        answers=paths.run("{run}", "answers.parquet"),
        errors=paths.run("{run}", "errors.parquet"),
        summary=paths.run("{run}", "answers.json"),
        accuracy=paths.run("{run}", "accuracy.json"),
    log:
        "logs/runs/{run}/prompt.log",
    wildcard_constraints:
        run=alternatives(PROMPTED),
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=sized("prompt", "gpu"),
        gpu_mem_mb=sized("prompt", "gpu_mem_mb"),
        mem_mb=growing(sized("prompt", "mem_mb")),
        runtime=sized("prompt", "runtime"),
    params:
        code=digest("prompt.py"),
        weights=weights_of,
        largest_answer=lambda wildcards: task_numbers(wildcards) - 1,
        tokens=lambda wildcards: run_of(wildcards).get("answer_tokens"),
        batch_size=config["capture"]["batch_size"],
    script:
        "../scripts/prompt.py"


rule digits:
    input:
        checkpoint=paths.run("{run}", "checkpoint.json"),
        weights=checkpoint_of,
        prompts=paths.run("{run}", "prompts.parquet"),
        shots=paths.run("{run}", "shots.json"),
    output:
        tokens=paths.run("{run}", "digits.parquet"),
        accuracy=paths.run("{run}", "digit-accuracy.parquet"),
        lens=paths.run("{run}", "digit-lens.parquet"),
        predictions=paths.run("{run}", "digit-numbers.parquet"),
        spectrum=paths.run("{run}", "digit-spectrum.parquet"),
        summary=paths.run("{run}", "digits.json"),
    log:
        "logs/runs/{run}/digits.log",
    wildcard_constraints:
        run=alternatives(PROMPTED),
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=sized("digits", "gpu"),
        gpu_mem_mb=sized("digits", "gpu_mem_mb"),
        mem_mb=growing(sized("digits", "mem_mb")),
        runtime=sized("digits", "runtime"),
    params:
        code=digest("digits.py"),
        weights=weights_of,
        numbers=task_numbers,
        answer=lambda wildcards: config["tasks"][run_of(wildcards)["task"]]["answer"],
        digits=config["digits"],
        batch_size=config["capture"]["batch_size"],
        analysis={
            key: value
            for key, value in config["analysis"].items()
            if key in ("basis", "average", "seed") or key.startswith("null_")
        },
    script:
        "../scripts/digits.py"
