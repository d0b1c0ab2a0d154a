"""One word, and every second time two, which ``generate`` has no place for: it answers 200 with an error."""

import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        self.count = 0

    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            for _ in range(1 + self.count % 2):
                sender.send(pb.InferenceResponse([pb.Tensor("text_output", np.array([b"word"], dtype=object))]))
            self.count += 1
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
