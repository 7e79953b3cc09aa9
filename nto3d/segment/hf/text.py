"""SAM 3's detector (`Sam3Model` of the library transformers): what a noun means in a picture.

Instances are scored and masks enlarged as transformers' own processor does, which needs torchvision; the detector
itself needs it for boxes alone, which it is not given here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from nto3d.errors import InputError
from nto3d.segment.base import Instances, check_picture
from nto3d.segment.hf.files import READS_TEXT, WHO, HfFolder, fetch_command, find_folder
from nto3d.segment.hf.models import SAM3_TRACKER, Processing, load_model
from nto3d.types import ByteArray
from nto3d.weights.transformers_library import import_transformers, quiet, reason

TOKENIZER = ("tokenizer.json", "vocab.json")  # one of them holds its words
LEAST_SCORE = 0.5  # of an instance, as in SAM 3's own predictor


class Sam3Finder:
    """Finds what a noun names, by SAM 3.

    Args:
        model: a Sam3Model in eval mode. tokenizer: of its text encoder. processing: of its pictures.
        device: where it is.
    """

    def __init__(self, model: Any, tokenizer: Any, processing: Processing, device: torch.device) -> None:
        self.model, self.tokenizer, self.processing, self.device = model, tokenizer, processing, device

    @torch.no_grad()
    def instances(self, image: ByteArray, text: str) -> Instances:
        """What a noun names in a picture uint8 [H, W, 3], the best first; scores below LEAST_SCORE are left out.

        Raises:
            ValueError: it is no such picture.
        """
        check_picture(image)
        length = int(self.model.config.text_config.max_position_embeddings)
        tokens = self.tokenizer(text, return_tensors="pt", padding="max_length", max_length=length, truncation=True)
        answer = self.model(
            pixel_values=self.processing.pixels(image).to(self.device),
            input_ids=tokens["input_ids"].to(self.device),
            attention_mask=tokens["attention_mask"].to(self.device),
        )
        scores = answer.pred_logits[0].sigmoid()  # [N] for N queries
        if answer.presence_logits is not None:
            scores = scores * answer.presence_logits[0].sigmoid()
        order = scores.argsort(descending=True, stable=True)
        order = order[scores[order] > LEAST_SCORE]
        shares = answer.pred_masks[0, order].sigmoid()[None]  # [1, N, L, L]
        if len(order):
            shares = functional.interpolate(shares, image.shape[:2], mode="bilinear", align_corners=False)
        else:
            shares = shares.new_zeros(1, 0, *image.shape[:2])
        return Instances((shares[0] > 0.5).cpu().numpy(), scores[order].double().cpu().numpy())


def check_reads_text(folder: HfFolder) -> None:
    """Whether the network in a folder understands nouns, and has a tokenizer beside it.

    Raises:
        InputError: it does not, or has none.
    """
    if folder.kind not in READS_TEXT:
        raise InputError(
            f"prompts.text: {folder.path} ({folder.kind}) cannot read text, expected SAM 3: "
            f"{fetch_command('facebook/sam3')}; or point with prompts.points"
        )
    if not any((folder.path / name).is_file() for name in TOKENIZER):  # transformers makes one up that knows no words
        raise _no_tokenizer(folder, f"there is no {TOKENIZER[0]}")


def open_finder(model: str | None, device: torch.device) -> Sam3Finder:
    """The detector in a folder, with its tokenizer.

    Args:
        model: as `files.find_folder` takes it.

    Raises:
        InputError: there is no such model, it cannot be loaded or cannot read text, or the tokenizer is missing.
    """
    folder = find_folder(model)
    check_reads_text(folder)
    network = load_model(folder, "Sam3Model", device)
    transformers = import_transformers(WHO)
    try:
        with quiet(transformers.utils.logging, bars=False):
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder.path, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # files of others: anything can be wrong
        raise _no_tokenizer(folder, reason(error)) from error
    if len(tokenizer) > network.config.text_config.vocab_size:
        raise _no_tokenizer(folder, "the one there knows more words than the network")
    side = network.config.image_size
    return Sam3Finder(network, tokenizer, Processing.of(folder, int(side), SAM3_TRACKER), device)


def _no_tokenizer(folder: HfFolder, why: str) -> InputError:
    return InputError(
        f"segmenter.model: {folder.path}: expected the tokenizer of SAM 3 beside its weights, {why}; fetch it with: "
        f"{fetch_command('facebook/sam3')}"
    )
