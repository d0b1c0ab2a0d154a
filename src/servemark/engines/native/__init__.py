"""The native engine: the Rust load generator, and what it prepares on the machine before a run."""
