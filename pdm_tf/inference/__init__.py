"""From an ONNX file and photographs to upscaled files; no TensorFlow in this room.

A session runs the network (`session`, on what `providers` finds to work), the engine
feeds it tiles (`engine`, `tile_pipeline`, `tiling`), pictures come from files
(`pictures`) and go to files (`outputs`), many at a time (`file_pipeline`).
"""
