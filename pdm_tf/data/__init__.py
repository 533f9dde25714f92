"""From folders and TFRecord shards to batches: sources, pairs, stateless streams."""
