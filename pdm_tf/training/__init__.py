"""The generic loop: batches in, scalars out, periodic actions, safe resuming."""
