"""A LitServe with one model, y = x W, at the port that is given."""

import sys

import litserve


class Linear(litserve.LitAPI):
    def setup(self, device):
        self.weights = [[3 * row + column for column in range(3)] for row in range(4)]

    def predict(self, request):
        x = request["x"]
        return {"y": [sum(a * row[column] for a, row in zip(x, self.weights, strict=True)) for column in range(3)]}


if __name__ == "__main__":
    server = litserve.LitServer(Linear(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, num_api_servers=1)
