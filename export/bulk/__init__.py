"""Upscaling of whole buckets as an Apache Beam pipeline: `python -m export.bulk`."""

LOCAL_RUNNER = "DirectRunner"  # Beam's name for this machine; the flag's default
