"""Locust: every user sends as fast as it can, or with RATE all together so many a second.

It runs in Locust's own environment.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

from locust import FastHttpUser, constant_throughput, task

_URL = urlsplit(os.environ["URL"])
_BODY = Path(os.environ["BODY"]).read_bytes()
_RATE = float(os.environ.get("RATE") or 0)


class Bench(FastHttpUser):
    """A user."""

    host = f"{_URL.scheme}://{_URL.netloc}"
    if _RATE:
        wait_time = constant_throughput(_RATE / int(os.environ["USERS"]))

    @task
    def predict(self) -> None:
        """One request."""
        self.client.post(_URL.path, data=_BODY, headers={"Content-Type": "application/json"})
