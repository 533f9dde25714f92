"""Modules without TensorFlow: image files, resizing, seeds, geometry, errors, names."""
