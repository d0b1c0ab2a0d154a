"""TorchServe, which came of Multi Model Server: what its answers and its management API have of their own."""
