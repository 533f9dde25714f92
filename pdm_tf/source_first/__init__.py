"""Measure the source first: a training run that starts from an estimate.

What stands between the program `train` and an ordinary run: whether to estimate
(`choice.py`), the runs that follow from one request (`derived.py`), which of two
degradations is kept (`decision.py`), and their order (`stages.py`).
"""
