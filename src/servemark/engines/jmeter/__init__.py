"""The engine jmeter: the same plan, written for and run by a real Apache JMeter with the original harness's plugins.

``plan`` writes the .jmx, ``run`` runs it and watches, ``jtl`` and ``failures`` turn its results into records, ``tools``
makes the original's reports with the plugins, ``perfmon`` writes the server's resources in PerfMon's format. What
JMeter measures less finely than the native engine is said in ``jtl``.
"""
