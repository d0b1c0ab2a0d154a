"""What is installed once and then reused: virtual environments of servers, JDKs and JMeter.

``cache`` keeps it (atomic, locked), ``interpreters`` finds a Python that fits, ``mms`` is the environment of Multi
Model Server. Importing this package costs nothing.
"""
