"""The image that image models are sent when the user gives none."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image  # type: ignore[import-not-found, unused-ignore]

#: 45 KB for 224x224 pixels.
_WANTED_BYTES_EACH_PIXEL = 0.897


def write_sample_image(path: Path, *, width: int, height: int) -> None:
    """A JPEG of as many bytes as a photo of this resolution has at high quality.

    Smooth colours and noise from a fixed seed; of all qualities, the one that comes nearest to the wanted size.
    """
    random = np.random.RandomState(224)
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    smooth = np.stack([np.sin(6 * x + 2 * y), np.cos(5 * y - x), np.sin(7 * x * y)], axis=2)
    pixels = 128 + 70 * smooth + random.normal(0, 30, (height, width, 3))
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    encoded = (_as_jpeg(image, quality) for quality in range(70, 98))
    path.write_bytes(min(encoded, key=lambda body: abs(len(body) - width * height * _WANTED_BYTES_EACH_PIXEL)))


def _as_jpeg(image: Image.Image, quality: int) -> bytes:
    body = io.BytesIO()
    image.save(body, "JPEG", quality=quality)
    return body.getvalue()
