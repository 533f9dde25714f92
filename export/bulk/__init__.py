"""Upscaling of whole buckets as an Apache Beam pipeline: `python -m export.bulk`."""
