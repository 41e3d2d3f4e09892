"""The paper's claims, each with the paper's figure, a study's own, and a verdict."""
