"""Batches from folders and TFRecord shards: sources, pairs, stateless streams."""
