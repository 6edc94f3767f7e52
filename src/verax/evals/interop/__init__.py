"""Readers of the logs of tools that produce verdicts; text is dropped unless asked for.

The public names are those of :mod:`verax.evals`.
"""
