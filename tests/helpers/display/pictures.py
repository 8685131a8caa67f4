"""What is seen in a picture."""

import io

import numpy as np
from PIL import Image


def pixels(image):
    return np.asarray(Image.open(io.BytesIO(image.data)).convert("RGB")).astype(int)


def near(image, color, tolerance=30):
    """Mask of the pixels of about this color."""
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(pixels(image) - rgb).max(axis=2) <= tolerance
