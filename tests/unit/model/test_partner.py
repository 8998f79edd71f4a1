"""The partner's head: same encoder pass, Hugging Face's names and logits, missing answers."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from hanmo.core.errors import UserError
from hanmo.model import checkpoint
from hanmo.model.encoder import initialise
from hanmo.model.partner import add_partner
from hanmo.model.trainable import Batch
from hanmo.objectives import mlm, pert
from training_cases import TINY, random_arrays, tokenizer

N = 6


def build(objective: Any) -> Any:
    shape = dataclasses.replace(TINY, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model = objective.build(shape, {})
    add_partner(model)
    initialise(model, 0.2, torch.Generator().manual_seed(0))
    return model.eval()


def batch_of(objective: Any, answers: list[int], *, pack: bool = True) -> Batch:
    arrays = random_arrays(objective, n=N, pack=pack)
    begins = arrays["position_ids"].flatten() == 0
    firsts = (begins & (arrays["sequence_ids"].flatten() > 0)).nonzero()[0]
    return Batch.from_arrays(
        {**arrays, "firsts": firsts, "partners": torch.tensor(answers).numpy()}
    )


@pytest.mark.parametrize("objective", [mlm.Objective(), pert.Objective()])
def test_the_loss_is_the_objective_s_plus_the_partner_s(objective: Any) -> None:
    model = build(objective)
    asked = batch_of(objective, [0, 1, -1, 1, 0, -1])
    plain = dataclasses.replace(asked, firsts=None)
    losses, alone = model(asked), model(plain)
    assert torch.allclose(losses.total, alone.total + losses.parts["partner"])
    logits = model.outputs(asked).logits["partners"]
    assert logits.shape == (N, 2)
    known = torch.tensor([0, 1, 3, 4])
    expected = torch.nn.functional.cross_entropy(logits[known], asked.targets["partners"][known])
    assert torch.allclose(losses.parts["partner"], expected)


def test_no_answer_at_all_adds_nothing() -> None:
    model = build(mlm.Objective())
    losses = model(batch_of(mlm.Objective(), [-1] * N))
    assert losses.parts["partner"] == 0
    assert torch.equal(losses.total, losses.parts["mlm"])


def test_transformers_gives_the_same_logits(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = build(mlm.Objective())
    checkpoint.save_model(tmp_path, model, tokenizer=tokenizer())
    theirs, report = transformers.BertForPreTraining.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    batch = batch_of(mlm.Objective(), [0] * N, pack=False)
    with torch.no_grad():
        got = theirs(
            input_ids=batch.input_ids,
            token_type_ids=batch.token_type_ids,
            attention_mask=(batch.sequence_ids > 0).long(),
        )
        ours = model.outputs(batch)
    assert torch.allclose(got.seq_relationship_logits, ours.logits["partners"], atol=1e-5)
    pieces = got.prediction_logits.flatten(0, 1)[batch.positions]
    assert torch.allclose(pieces, model.piece_logits(ours), atol=1e-5)


def test_a_model_without_a_place_for_it_is_refused() -> None:
    model = mlm.Objective().build(TINY, {})
    del model.cls
    with pytest.raises(UserError, match="no place for a sentence question"):
        add_partner(model)
