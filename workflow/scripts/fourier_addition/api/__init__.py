"""Models behind an OpenAI-compatible API, asked without training (claim 14 of the paper).

pricing, request           pure functions: tokens to money, prompts to bodies
journal                    every response on disk the moment it arrives, and what it cost
key                        the secret, from the environment
backoff, budget, client    sending: waits, what may be spent, concurrency, retries, refusals
summary                    predictions, accuracy and the table
"""
