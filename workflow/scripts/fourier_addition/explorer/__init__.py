"""The explorer: results of a study packed into one page, in which a reader looks around."""
