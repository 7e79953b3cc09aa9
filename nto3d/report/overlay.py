"""What points at a target and the mask that it gives, drawn over the picture."""

from __future__ import annotations

import cv2
import numpy as np

from nto3d.types import BoolArray, ByteArray, FloatArray, Prompts

LONGEST = 900  # pixels that small pictures are enlarged towards
TINT, POSITIVE, NEGATIVE, BOX = (80, 220, 60), (40, 255, 40), (255, 40, 40), (255, 200, 0)  # RGB


def overlay_picture(image: ByteArray, mask: BoolArray, prompts: Prompts, asked: bool = False) -> ByteArray:
    """The picture [H, W, 3] with the mask [H, W] tinted and outlined, points and box on top; small ones enlarged.

    Args:
        asked: whether the points' labels are not known yet.
    """
    times = max(1, round(LONGEST / max(mask.shape)))
    size = (mask.shape[1] * times, mask.shape[0] * times)
    large = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR if times > 1 else cv2.INTER_NEAREST)
    inside = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    tinted = np.where(inside[..., None] > 0, 0.65 * large + 0.35 * np.array(TINT), large).astype(np.uint8)
    thick = max(2, round(max(size) / 500))
    outlines, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(tinted, outlines, -1, TINT, thick)

    def place(xy: FloatArray) -> tuple[int, ...]:
        return tuple(round((float(value) + 0.5) * times - 0.5) for value in xy)

    if prompts.box is not None:
        cv2.rectangle(tinted, place(prompts.box[:2]), place(prompts.box[2:]), BOX, thick)
    for point, label in zip(prompts.points, prompts.labels, strict=True):
        cv2.circle(tinted, place(point), 3 * thick, (255, 255, 255), -1)
        color = BOX if asked else POSITIVE if label else NEGATIVE
        if asked:
            cv2.circle(tinted, place(point), 10 * thick, color, thick)
        cv2.circle(tinted, place(point), 2 * thick, color, -1)
    return tinted
