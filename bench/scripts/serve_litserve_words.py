"""A LitServe with OpenAI's API that answers 16 words, one each 5 ms, at the port that is given."""

import sys
import time

import litserve


class Words(litserve.LitAPI):
    def setup(self, device):
        pass

    def predict(self, prompt):
        for number in range(16):
            time.sleep(0.005)
            yield f"w{number} "


if __name__ == "__main__":
    server = litserve.LitServer(Words(spec=litserve.OpenAISpec()), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, num_api_servers=1)
