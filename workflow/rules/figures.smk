# Figures: views on runs. One rule a family, so that an edit redraws that family only.


for family in sorted({view.family for view in VIEWS.values()}):

    rule:
        name:
            f"figure_{family}"
        input:
            unpack(lambda wildcards: VIEWS[wildcards.figure].inputs),
        output:
            pdf=paths.figure("{figure}", "pdf"),
            png=report(
                paths.figure("{figure}", "png"),
                caption=f"../report/{family}.rst",
                category="Figures",
                labels={"figure": "{figure}"},
            ),
            csv=paths.figure("{figure}", "csv"),
        log:
            "logs/figures/{figure}.log",
        wildcard_constraints:
            figure=alternatives(views_of(family)),
        group:
            lambda wildcards: views_group(VIEWS[wildcards.figure].inputs.values())
        conda:
            "../../envs/figures.yaml"
        resources:
            mem_mb=growing(sized("figure_", "mem_mb")),
            runtime=sized("figure_", "runtime"),
            view=1,
        params:
            code=digest(f"figure_{family}.py"),
            family=lambda wildcards: VIEWS[wildcards.figure].family,
            kind=lambda wildcards: VIEWS[wildcards.figure].kind,
            options=lambda wildcards: VIEWS[wildcards.figure].options,
            caption=lambda wildcards: VIEWS[wildcards.figure].caption,
        script:
            # Not an f-string: it would be read after the loop, with the last family.
            "../scripts/figure_{params.family}.py"
