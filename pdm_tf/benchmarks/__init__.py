"""Measuring speed, as ratios of sides that take turns in one process.

`rounds.py` is the method, used by every task; a task is one file, `data_task.py` or
`inference_task.py`. The rest belongs to inference: the network under test
(`subject.py`, `networks.py`), the ways to run it (`sides.py`), one of which is PyTorch
(`torch_networks.py`, imported only when asked for), and the rate of plain matrix
products (`gemm.py`). This room is a leaf: nothing but `pdm_tf/benchmark.py` imports it.
"""
