"""What runs inside Triton and MLServer: the zoo's graphs. Copied to where each of them looks for its models."""
