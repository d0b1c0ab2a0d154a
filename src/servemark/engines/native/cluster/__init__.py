"""Generators on a Ray cluster: Ray places them, starts them, watches over them and carries their records.

What each of them does is the same as on this machine (``servemark.engines.native.spread``). Ray is an extra, and loaded
when it is asked for.
"""
