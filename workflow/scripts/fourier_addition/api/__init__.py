"""Models behind an OpenAI-compatible API, asked without training (claim 14 of the paper).

parsing, pricing, request    pure functions: replies to numbers, tokens to money, prompts to bodies
journal                      every response on disk the moment it arrives, and what it cost
backoff, client              sending: concurrency, retries, refusals, budget
summary                      predictions, accuracy and the table
"""
