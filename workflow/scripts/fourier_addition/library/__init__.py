"""What a notebook or a script of one's own calls: models in memory in, tables and figures out."""
