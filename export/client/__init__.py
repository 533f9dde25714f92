"""A client of the servers that run an exported model: `python -m export.client`.

It sends photographs to TF Serving, Triton or KServe, by gRPC or REST, and writes the
answers as PNG. It needs neither TensorFlow nor the packages of those servers.
"""
