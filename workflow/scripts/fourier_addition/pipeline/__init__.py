"""What knows Snakemake, the configuration or the path of a result; the science imports nothing from here."""
