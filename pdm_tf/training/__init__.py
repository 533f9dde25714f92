"""The training loop, whatever the method: batches in, scalars out, safe resuming."""
