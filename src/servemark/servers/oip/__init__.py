"""Servers of the Open Inference Protocol over REST: Triton, MLServer, KServe, and what else speaks it."""
