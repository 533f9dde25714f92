"""Exports trained networks: SavedModel, ONNX, and files for servers.

`python -m export --model=<run folder or bundle> --output=...` writes a bundle as a
TensorFlow SavedModel and as ONNX, with a certificate of how far their outputs are from
the Keras network's; nothing is published that breaks the certificate's limits.

The way through the package, each file one idea: `sources.py` (which networks),
`write_models.py` (the step that needs Keras) with `saved_model.py`, `onnx_graph.py`,
`onnx_rewrite.py` and `degradation.py`; `comparing.py` and `parity.py` (exported models
against Keras), `certificate.py` (its results), `publish.py` (all at once or not
at all), `serving_files.py`; `stages.py` runs each step in a process of its own.

Programs that serve or use exported models: `export.kserve_server`, and with rooms of
their own `client/` (asks a server) and `bulk/` (works through buckets).

It may import `pdm_tf.models`, `degradations`, `ops`, `run`, `core`, `cli`, `inference`
and `samples`, never data, methods or training: an exporter needs a bundle, not its
training.
"""

import pdm_tf  # noqa: F401 - before TensorFlow, to hide its start-up notes
