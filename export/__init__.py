"""Taking trained networks out of Python: SavedModel, ONNX, and files for servers.

`python -m export --model=<run folder or bundle> --output_dir=...` writes a bundle as a
TensorFlow SavedModel and as ONNX, with a certificate of how far their outputs are from
the Keras network's; nothing is published that breaks the certificate's limits. Programs
for those who serve or use what was written stand beside it: `export.client` asks a
server, `export.bulk` works through buckets of images.

The way through the package, each file one idea: `sources.py` (which networks),
`saved_model.py` and `serving_module.py`, `onnx_graph.py` with `onnx_rewrite.py` and
`fp16.py`, `degradation.py`, `certificate.py` (what was compared with what),
`publish.py` (all at once or not at all). It may import `pdm_tf.models`, `pdm_tf.core`,
`pdm_tf.cli` and `pdm_tf.inference`, never data, methods or training: an exporter
needs a bundle, not the run that made it.
"""
