"""Bodies of requests to crops of the network's size, within limits on count and pixels."""

import base64
import binascii
import dataclasses
import io
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from reid.data.images import Preprocessing
from reid.embed_boxes import cut_box, cut_boxes

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
# What a whole file has behind the start of its last part; decoders fill up what is missing without an error.
_ENDINGS = {"JPEG": (b"\xff\xda", b"\xff\xd9"), "PNG": (b"IDAT", b"IEND")}


class RefusedRequest(Exception):
    """A request that is answered with an error.

    Args:
        status: Of HTTP.
        message: What is wrong, and what is allowed.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class EmbedBody(BaseModel):
    """The JSON body: crops, or an image with boxes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    crops: list[str] | None = None
    image: str | None = None
    boxes: list[list[float]] | None = None


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a request may ask for.

    Attributes:
        max_crops: Crops or boxes.
        max_pixels: Of all its images together.
    """

    max_crops: int
    max_pixels: int


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Crops of a request.

    Attributes:
        crops: uint8 RGB (height, width, 3) of the network's size, those that can be embedded.
        quality: float32 (N,), one for each crop or box that was asked for, as in `reid.embed_boxes.Embedded`; those
            with 0 have no crop.
    """

    crops: list[np.ndarray]
    quality: np.ndarray

    def spread(self, rows: np.ndarray) -> np.ndarray:
        """Returns float32 (N, D): the embeddings (len(crops), D) in their places, zeros elsewhere."""
        result = np.zeros((len(self.quality), rows.shape[1]), np.float32)
        result[self.quality > 0] = rows
        return result


def prepare_json(content: bytes, limits: Limits, preprocessing: Preprocessing) -> Prepared:
    """Turns a JSON body into crops.

    Raises:
        RefusedRequest: When it is malformed or beyond a limit.
    """
    try:
        body = EmbedBody.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "body"
        raise RefusedRequest(422, f"{place}: {first['msg']}") from error
    if body.crops is not None:
        if body.image is not None or body.boxes is not None:
            raise RefusedRequest(422, "body: got crops together with image or boxes, allowed: one of the two")
        _check_count("crops", len(body.crops), limits)
        return _prepare_crops(body.crops, limits, preprocessing)
    if body.image is None:
        raise RefusedRequest(422, "body: got neither crops nor image, allowed: one of the two")
    content = _from_base64("image", body.image)
    return prepare_image(content, body.boxes, limits, preprocessing)


def prepare_image(
    content: bytes, boxes: Sequence[Sequence[float]] | None, limits: Limits, preprocessing: Preprocessing
) -> Prepared:
    """Turns an image file and its boxes into crops.

    Args:
        content: The file.
        boxes: Each left, top, right, bottom in pixels; None takes the whole image.
        limits: What is allowed.
        preprocessing: Of the network.

    Raises:
        RefusedRequest: When it is malformed or beyond a limit.
    """
    if boxes is not None:
        _check_count("boxes", len(boxes), limits)
        for number, box in enumerate(boxes):
            if len(box) != 4:
                raise RefusedRequest(422, f"boxes.{number}: got {len(box)} numbers, allowed: 4")
    image, _ = _decode("image", content, limits.max_pixels)
    if boxes is None:
        boxes = [[0, 0, image.shape[1], image.shape[0]]]
    with np.errstate(over="ignore", invalid="ignore"):
        crops, quality = cut_boxes(image, np.array(boxes, np.float64).reshape(-1, 4))
    return Prepared([preprocessing.resize(crop) for crop, share in zip(crops, quality, strict=True) if share], quality)


def parse_boxes(text: str | None) -> list[list[float]] | None:
    """Reads boxes of a query string, "left,top,right,bottom;...".

    Raises:
        RefusedRequest: When something in it is no number.
    """
    if text is None:
        return None
    try:
        return [[float(number) for number in box.split(",")] for box in text.split(";") if box]
    except ValueError as error:
        raise RefusedRequest(422, f"boxes: {error}, allowed: left,top,right,bottom;...") from error


def _prepare_crops(crops: Sequence[str], limits: Limits, preprocessing: Preprocessing) -> Prepared:
    left = limits.max_pixels
    found = []
    quality = np.zeros(len(crops), np.float32)
    for number, text in enumerate(crops):
        name = f"crops.{number}"
        image, pixels = _decode(name, _from_base64(name, text), left)
        left -= pixels
        crop, quality[number] = cut_box(image, np.array([0, 0, image.shape[1], image.shape[0]]))
        if quality[number] > 0:
            # Resized at once, so that one decoded image is in memory at a time, however many there are.
            found.append(np.ascontiguousarray(preprocessing.resize(crop)))
    return Prepared(found, quality)


def _check_count(name: str, count: int, limits: Limits) -> None:
    if count > limits.max_crops:
        raise RefusedRequest(413, f"{name}: got {count}, allowed: {limits.max_crops} a request")


def _from_base64(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedRequest(422, f"{name}: no base64 ({error})") from error


def _decode(name: str, content: bytes, max_pixels: int) -> tuple[np.ndarray, int]:
    """Returns uint8 RGB (H, W, 3) and its pixels; the size is read from the header before anything is decoded."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as header:
            kind, pixels = str(header.format), header.width * header.height
    except Image.DecompressionBombError as error:
        raise RefusedRequest(413, f"{name}: {error}") from error
    except Exception as error:  # a damaged header raises whatever the format's reader stumbles over
        raise RefusedRequest(422, f"{name}: no image of {', '.join(FORMATS)} ({len(content)} bytes)") from error
    if pixels > max_pixels:
        raise RefusedRequest(413, f"{name}: got {pixels} pixels, allowed: {max_pixels} (all images of a request)")
    start, ending = _ENDINGS.get(kind, (b"", b""))
    if content.rfind(ending) < content.rfind(start):
        raise RefusedRequest(422, f"{name}: the {kind} file is cut off after {len(content)} bytes")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise RefusedRequest(422, f"{name}: the {kind} file cannot be decoded") from error
    if image is None:
        raise RefusedRequest(422, f"{name}: the {kind} file cannot be decoded")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), pixels
