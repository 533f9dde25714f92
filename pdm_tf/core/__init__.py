"""What needs no TensorFlow: image files, resizing, seeds, geometry, errors, names."""
