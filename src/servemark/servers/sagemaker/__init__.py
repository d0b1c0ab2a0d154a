"""Containers as Amazon SageMaker runs them: one model, ``/ping`` and ``/invocations``."""
