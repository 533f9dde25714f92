"""Networks: Keras subclassed models, each built from its own frozen config."""
