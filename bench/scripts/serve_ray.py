"""A Ray Serve with one model, y = x W, at the port that is given, in a cluster of its own."""

import signal
import sys

import ray
from ray import serve


@serve.deployment(ray_actor_options={"num_cpus": 1})
class Linear:
    def __init__(self):
        self.weights = [[3 * row + column for column in range(3)] for row in range(4)]

    async def __call__(self, request):
        x = (await request.json())["x"]
        return {"y": [sum(a * row[column] for a, row in zip(x, self.weights, strict=True)) for column in range(3)]}


if __name__ == "__main__":
    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Linear.bind(), route_prefix="/linear")
    signal.pause()
