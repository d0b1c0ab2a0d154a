"""How the zoo's models are made: graphs with random weights from a fixed seed, and the image that is sent to them.

This package runs in the server's environment (``python -m graphs``), where servemark is not installed: it imports only
itself, numpy, Pillow, and the backend's packages. One file a model; ``onnx_graph`` and ``mxnet_export`` write what a
handler's network loads.
"""
