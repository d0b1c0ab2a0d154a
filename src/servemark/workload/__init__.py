"""Workloads: what to send (scenario), when (load), and both compiled for an engine (plan).

Standard library only: benchmarks, and through them the option tables, import this before anything is installed.
"""
