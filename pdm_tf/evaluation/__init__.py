"""Measuring SR networks on paired images: scores, reports, pictures.

One runner serves the `evaluate` program and the validation inside training.
"""
