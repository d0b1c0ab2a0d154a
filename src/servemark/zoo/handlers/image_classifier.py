"""Image classification: a JPEG (or whatever Pillow reads) in, the five most probable of 1,000 classes out."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError  # type: ignore[import-not-found, unused-ignore]

from .batch import BadInputError, answer
from .network import Network, load_network
from .top import most_probable

_SIDE = 224
#: Of ImageNet's pixels, by channel; see the models' papers.
_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)

_network: Network | None = None


def handle(items: list[dict[str, Any]] | None, context: Any) -> list[Any] | None:
    """What the server calls: once with None to load the model, then with each batch of requests."""
    global _network
    if _network is None:
        _network = load_network(context)
    if items is None:
        return None
    network = _network

    def predict(images: list[Any]) -> list[Any]:
        return [most_probable(row, "class") for row in network.run(np.stack(images))]

    return answer(items, context, _pixels, predict)


def _pixels(body: Any) -> Any:
    """The image as the network takes it: (3, 224, 224), normalised."""
    if not isinstance(body, (bytes, bytearray)):
        raise BadInputError("expected an image, such as a JPEG with content type image/jpeg")
    try:
        image = Image.open(io.BytesIO(body)).convert("RGB")
    except UnidentifiedImageError as error:
        raise BadInputError("cannot decode the image: its format is unknown") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInputError(f"cannot decode the image: {error}") from error
    if image.size != (_SIDE, _SIDE):
        image = image.resize((_SIDE, _SIDE), Image.BILINEAR)
    pixels = (np.asarray(image, dtype=np.float32) / 255 - _MEAN) / _DEVIATION
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
