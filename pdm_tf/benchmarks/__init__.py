"""Measures speed, as ratios of sides that take turns in one process.

A task is one file with its flags: `data_task.py`, `degrade_task.py`,
`inference_task.py`, `read_task.py`, `train_task.py` (with `train_sides.py`, the ways to
run a step, and `train_sweep.py`). They share:

- `measuring.py`: the common flags, alternating rounds, memory, the report;
- `sides.py`: the sides of all tasks, the summary of their times, and tables;
- `arithmetic.py`: how much arithmetic there is, and how much the machine can reach;
- `timed.py`: the timed networks and steps, in plain values that need no TensorFlow, and
  `networks.py`, which makes them from flags, bundles and files.

PyTorch is imported by modules `torch_*.py` alone, which are loaded when it is asked
for. This room is a leaf: nothing but `pdm_tf/benchmark.py` imports it.
"""
