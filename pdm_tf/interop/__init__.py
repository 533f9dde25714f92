"""Foreign weights: files of PyTorch, safetensors and ncnn, and layouts.

`weight_file` reads a file into tensors by name, without PyTorch or ncnn; nothing in it
is executed. `published_files` knows some that pip can fetch.
`layouts` knows how networks that others have published name their tensors, and
`wiring` puts those into a network of ours: every tensor used or named as ignored,
every variable filled once. To add a layout: a function and a line in `LAYOUTS`.
"""
