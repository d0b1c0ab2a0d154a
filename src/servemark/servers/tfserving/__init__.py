"""Servers with ``:predict`` below ``/v1/models``: TensorFlow Serving, and KServe's first protocol."""
