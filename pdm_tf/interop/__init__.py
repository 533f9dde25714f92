"""Foreign weights: PyTorch and safetensors files, read without PyTorch, and layouts.

`weight_file` reads a file into tensors by name; nothing in it is executed.
`layouts` knows how networks that others have published name their tensors, and
`wiring` puts those into a network of ours: every tensor used or named as ignored,
every variable filled once. To add a layout: a function and a line in `LAYOUTS`.
"""
