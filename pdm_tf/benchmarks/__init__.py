"""Measuring speed, as ratios of sides that take turns in one process.

`rounds.py` is the method, used by every task; a task is one file, `data_task.py`,
`degrade_task.py`, `inference_task.py` or `train_task.py`, beside it the ways to do its
work: `degrade_sides.py`, `sides.py`, `train_sides.py`. What is run elsewhere, plain
values that need no TensorFlow, is described by `subject.py` and `learning_subject.py`.

Shared: the rate of plain matrix products (`gemm.py`), counted arithmetic (`flops.py` of
ONNX files, `graph_flops.py` of traced functions), memory in a process of its own
(`memory.py`), what is made of times (`figures.py`) and how it is shown (`table.py`).
PyTorch is imported by modules `torch_*.py` alone, which are loaded when it is asked
for. This room is a leaf: nothing but `pdm_tf/benchmark.py` imports it.
"""
