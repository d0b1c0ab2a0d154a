"""Answers with what it is given, of each data type."""

import json

import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        self.names = [one["name"] for one in json.loads(args["model_config"])["input"]]

    def execute(self, requests):
        return [
            pb.InferenceResponse(
                [pb.Tensor(f"out_{name}", pb.get_input_tensor_by_name(request, name).as_numpy()) for name in self.names]
            )
            for request in requests
        ]
