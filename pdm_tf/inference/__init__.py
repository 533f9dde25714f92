"""Upscales photographs with an ONNX file; no TensorFlow in this room.

A session runs the network (`session`, on a device that `providers` checks), the engine
feeds it tiles (`engine`, `tile_pipeline`, `tiling`), pictures come from files
(`pictures`) and go to files (`outputs`), many at a time (`file_pipeline`).
"""
