include: "workflow/Snakefile"


# A rule of an included file is never the default one.
rule default:
    input:
        rules.all.input,
