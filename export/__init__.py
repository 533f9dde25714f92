"""Taking trained networks out of Python: what will live here, and nothing yet.

The exporters come with the next release: `python -m export` writes a bundle as a
TensorFlow SavedModel and as ONNX, with a certificate of how far their outputs are from
the Keras network's. They may import `pdm_tf.models`, `pdm_tf.core` and
`pdm_tf.inference`, never data, methods or training: an exporter needs a bundle, not the
run that made it. Until then a bundle is loaded by `pdm_tf.models.bundle.load_bundle`.
"""
