"""A model small enough to enumerate, whose weights are random but whose head counts as trained."""

from pathlib import Path

import torch

from hanmo.model.checkpoint import save_model
from hanmo.model.config import EncoderConfig
from hanmo.model.encoder import initialise
from hanmo.model.masked_lm import MaskedLm
from hanmo.text.tokenizer import Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]"]
VOCAB = [*SPECIAL, *"我在上海北京工作去他好，。", "new", "york", "##er", "##京", "##，"]
LAYERS = {"pos": ("n", "v", "wp"), "dep": ("HED", "ATT")}
MAX_LENGTH = 24


def make_model(*, layers: bool, seed: int = 3, std: float = 0.5) -> MaskedLm:
    """A large deviation makes distributions far from uniform, so that errors show."""
    config = EncoderConfig(
        vocab_size=len(VOCAB) + 3,  # models may have more rows than their vocabulary has pieces
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=MAX_LENGTH,
    )
    model = MaskedLm(config, layers=LAYERS if layers else None)
    generator = torch.Generator().manual_seed(seed)
    initialise(model, std, generator)
    torch.nn.init.normal_(model.cls.predictions.bias, std=std, generator=generator)
    return model.eval()


def save(folder: Path, model: MaskedLm) -> Path:
    save_model(folder, model, tokenizer=Tokenizer(VOCAB))
    return folder
