"""Learning a stable outcome from noisy utilities: models of preferences, policies, and runs of them."""
