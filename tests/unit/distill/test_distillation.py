"""A student and its teachers as one Trainable."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from distill_cases import PLAIN, WIDE, arrays, batch, masked_lm
from hanmo.core.errors import UserError
from hanmo.core.flags import flags_of
from hanmo.distill.distillation import TextDistillation
from hanmo.distill.losses import LOSSES
from hanmo.distill.matches import FEATURES, PROJECTIONS, check_matches, parse_match
from hanmo.distill.places import Places
from hanmo.distill.settings import Settings
from hanmo.distill.teachers import LiveTeacher, Watch, load_teacher
from hanmo.model import checkpoint
from hanmo.model.encoder import Encoder
from hanmo.model.trainable import Batch
from hanmo.train.devices import prepare
from hanmo.train.loop import parts_of, train_steps
from hanmo.train.optim import build_optimizer
from training_cases import TINY_ALBERT, TINY_DISTILBERT, TINY_ELECTRA, make_teacher, tokenizer

EVERY = (
    "4,2,hidden,hidden_mse,1,linear",
    "2,1,hidden,cos,1,relu",
    "0,0,hidden,pkd,1,tanh",
    "0+4,0+2,hidden,gram,1,linear",
    "1+4,1+2,hidden,nst,1",
    "4,2,attention,attention_mse_sum,1",
    "3,1,attention,attention_ce_mean,1",
)


def made(settings: Settings, *, student: Any = None, teacher: Any = None) -> TextDistillation:
    student = masked_lm(PLAIN, 0) if student is None else student
    teacher = masked_lm(WIDE, 1) if teacher is None else teacher
    return TextDistillation(student, [LiveTeacher(teacher)], settings)


def test_gradients_reach_the_student_only() -> None:
    teacher = masked_lm(WIDE, 1)
    model = made(Settings(hard_weight=1.0, matches=EVERY), teacher=teacher)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    model.train()
    optimizer = build_optimizer(model, learning_rate=1e-2)
    losses = model(batch())
    losses.total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
    # A key's bias moves all scores of a query alike, so that no softmax sees it.
    moved = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert {n for n, _ in model.named_parameters() if n not in moved} <= {
        name for name, _ in model.named_parameters() if name.endswith("key.bias")
    }
    optimizer.step()
    for name, tensor in teacher.named_parameters():
        assert tensor.grad is None and not tensor.requires_grad, name
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    ours = {id(p) for p in model.parameters()}
    assert not ours & {id(p) for p in teacher.parameters()}
    assert set(losses.parts) == {"soft", "mlm", *EVERY}


def test_an_identical_student_has_no_match_losses() -> None:
    config = dataclasses.replace(WIDE)
    matches = (
        *("4,4,hidden,hidden_mse,1", "3,3,hidden,cos,1", "2,2,hidden,pkd,1"),
        *("0+4,0+4,hidden,gram,1", "0+4,0+4,hidden,nst,1"),
        *("1,1,attention,attention_mse,1", "2,2,attention,attention_mse_sum,1"),
        *("3,3,attention,attention_ce,1", "4,4,attention,attention_ce_mean,1"),
    )
    model = made(
        Settings(soft_weight=0.0, matches=matches),
        student=masked_lm(config, 1),
        teacher=masked_lm(config, 1),
    )
    losses = model(batch())
    assert len(losses.parts) == len(matches)
    assert all(abs(value.item()) < 1e-6 for value in losses.parts.values()), losses.parts
    other = made(
        Settings(soft_weight=0.0, matches=matches),
        student=masked_lm(config, 2),
        teacher=masked_lm(config, 1),
    )
    assert all(value.item() > 1e-4 for value in other(batch()).parts.values())


def test_an_identical_student_has_no_slope_of_its_soft_targets() -> None:
    model = made(Settings(temperature=3.0), student=masked_lm(WIDE, 1), teacher=masked_lm(WIDE, 1))
    model(batch()).total.backward()
    assert all(p.grad is None or p.grad.abs().max() < 1e-5 for p in model.parameters()), (
        "nothing to learn"
    )


def test_watching_changes_nothing() -> None:
    model, one = masked_lm(WIDE, 1), batch()
    alone = model.outputs(one).at_positions
    with model.encoder.watching(range(5), range(1, 5)) as seen:
        watched = model.outputs(one).at_positions
    torch.testing.assert_close(alone, watched, rtol=1e-5, atol=1e-6)
    assert sorted(seen.hidden) == [0, 1, 2, 3, 4]
    assert sorted(seen.attention) == [1, 2, 3, 4]
    n = one.layout.n_places
    assert all(x.shape == (n, 32) for x in seen.hidden.values())
    assert all(x.shape == (n, 3, 4, 8) for x in seen.attention.values())
    assert model.encoder.encoder.watched is None
    everything = model.encoder(*one.inputs)
    torch.testing.assert_close(one.layout.take(everything.flatten(0, 1)), seen.hidden[4])


def test_recomputed_layers_are_seen_too() -> None:
    settings = Settings(matches=EVERY)
    grads = []
    for recompute in (False, True):
        model = made(settings)
        torch.manual_seed(0)
        for projection in model.projections.parameters():
            torch.nn.init.normal_(projection, std=0.1)
        model.train()
        model.encoder.encoder.recompute = recompute
        model(batch()).total.backward()
        grads.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for name, grad in grads[0].items():
        torch.testing.assert_close(grad, grads[1][name], rtol=1e-4, atol=1e-6)


def test_parts_of_a_step_add_up() -> None:
    model = made(Settings(hard_weight=0.5, matches=EVERY)).eval()
    whole = arrays(3, 14)
    parts = parts_of(whole, 3)
    assert len(parts) == 3
    sums = sum(model(part).total for part in parts)
    torch.testing.assert_close(sums, model(Batch.from_arrays(whole)).total, rtol=1e-5, atol=1e-5)


def test_several_teachers_each_say_their_share() -> None:
    one, two = masked_lm(WIDE, 1), masked_lm(PLAIN, 2)
    student = masked_lm(PLAIN, 0)
    alone = [
        TextDistillation(student, [LiveTeacher(teacher)], Settings())(batch()).total
        for teacher in (one, two)
    ]
    both = TextDistillation(student, [LiveTeacher(one), LiveTeacher(two)], Settings())
    torch.testing.assert_close(both(batch()).total, (alone[0] + alone[1]) / 2)


def test_weights_follow_their_schedules() -> None:
    model = made(
        Settings(
            soft_weight=2.0,
            soft_schedule="linear-decay",
            hard_weight=4.0,
            hard_schedule="linear-growth",
        )
    ).eval()
    for progress, soft, hard in ((0.0, 2.0, 0.0), (0.25, 1.5, 1.0), (1.0, 0.0, 4.0)):
        losses = model(batch(), progress=progress)
        assert losses.weights == {"soft": soft, "hard": hard}
        expected = soft * losses.parts["soft"] + hard * losses.parts["mlm"]
        torch.testing.assert_close(losses.total.detach(), expected)


@pytest.mark.parametrize("shape", [TINY_ELECTRA, TINY_ALBERT, TINY_DISTILBERT, WIDE])
def test_a_teacher_of_any_family_teaches_any_student(tmp_path: Path, shape: Any) -> None:
    shape = dataclasses.replace(shape, hidden_dropout_prob=0.0)
    teacher = make_teacher(tmp_path / "teacher", shape)
    for student_shape in (PLAIN, TINY_ELECTRA, TINY_ALBERT, TINY_DISTILBERT):
        model = TextDistillation(
            masked_lm(student_shape, 0),
            [load_teacher(teacher, head=True)],
            Settings(matches=("2,2,hidden,hidden_mse,1,linear",)),
        )
        losses = model(batch())
        losses.total.backward()
        assert losses.total.isfinite()


def test_an_encoder_alone_can_be_matched(tmp_path: Path) -> None:
    checkpoint.save_model(tmp_path / "teacher", _Bare(), tokenizer=tokenizer())
    with pytest.raises(UserError, match="no masked-LM head"):
        load_teacher(tmp_path / "teacher", head=True)
    teacher = load_teacher(tmp_path / "teacher", head=False)
    settings = Settings(soft_weight=0.0, matches=("4,2,hidden,hidden_mse,1,linear",))
    losses = TextDistillation(masked_lm(), [teacher], settings)(batch())
    losses.total.backward()
    assert set(losses.parts) == {settings.matches[0]}


def test_a_head_that_was_never_trained_teaches_nothing(tmp_path: Path) -> None:
    folder = make_teacher(tmp_path / "teacher")
    model = checkpoint.load_masked_lm(folder)
    torch.nn.init.zeros_(model.cls.predictions.bias)
    checkpoint.save_model(folder, model, tokenizer=tokenizer())
    with pytest.raises(UserError, match=r"never trained.*soft-weight 0"):
        load_teacher(folder, head=True)


class _Bare(torch.nn.Module):
    architecture = "BertModel"

    def __init__(self) -> None:
        super().__init__()
        self.bert = Encoder(WIDE)

    @property
    def encoder(self) -> Encoder:
        return self.bert


def test_a_checkpoint_is_the_students(tmp_path: Path) -> None:
    model = made(Settings(matches=("4,2,hidden,hidden_mse,1,linear",)))
    checkpoint.save_model(tmp_path / "m", model, tokenizer=tokenizer())
    student = checkpoint.load_masked_lm(tmp_path / "m")
    for name, tensor in student.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    again = made(Settings(matches=("4,2,hidden,hidden_mse,1,linear",)), student=masked_lm(PLAIN, 7))
    checkpoint.restore_weights(again, tmp_path / "m")
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    assert any(name.startswith("projections.") for name in again.state_dict())


def test_matches_are_in_fp32_under_autocast() -> None:
    """Near its teacher, a student's differences are smaller than the rounding of bf16."""
    matches = tuple(
        text for text in EVERY if "gram" in text or "nst" in text or "attention" in text
    )
    student, teacher = masked_lm(PLAIN, 0), masked_lm(PLAIN, 0)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.mul_(1 + 0.02 * torch.randn_like(parameter))
    same = tuple(
        text.replace("4,", "2,").replace("3,", "2,").replace("+4", "+2").replace(",linear", "")
        for text in matches
    )
    seen = TextDistillation(student, [LiveTeacher(teacher)], Settings(matches=same))
    assert len(same) == 4
    one, values = batch(), []
    hidden, attention = (frozenset(range(3)), frozenset({1, 2}))
    with torch.no_grad(), student.encoder.watching(hidden, attention) as own:
        student.outputs(one)
    theirs = LiveTeacher(teacher).answer(one, Watch(hidden, attention)).seen
    for on in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=on):
            compared = seen._compared(own, theirs, Places.of(one))
        values.append([loss.item() for _, loss in compared])
    assert values[0] == values[1]


def test_projections_of_a_run_before_are_not_taken(tmp_path: Path) -> None:
    made(Settings(matches=("4,2,hidden,cos,1,linear",)))
    first = made(Settings(matches=("4,2,hidden,cos,1,linear",)), student=masked_lm(PLAIN, 7))
    checkpoint.save_model(tmp_path / "m", first, tokenizer=tokenizer())
    second = made(Settings(matches=("4,2,hidden,cos,1,linear",)))
    before = second.projections["0"].dense.weight.clone()
    checkpoint.load_into(second, tmp_path / "m", skip=("projections.",))
    assert torch.equal(second.projections["0"].dense.weight, before)
    assert torch.equal(second.student.cls.predictions.bias, first.student.cls.predictions.bias)


def test_heads_of_a_pruned_albert_are_compared() -> None:
    pruned = dataclasses.replace(TINY_ALBERT, heads=(1,))
    match = (parse_match("2,2,attention,attention_mse,1"),)
    with pytest.raises(UserError, match="2 heads, the student 1"):
        check_matches(match, TINY_ALBERT, pruned)
    check_matches(match, pruned, pruned)


def test_a_student_comes_near_its_teacher() -> None:
    teacher = masked_lm(WIDE, 1).eval()
    model = made(Settings(temperature=2.0), teacher=teacher)
    device = prepare("fp32")
    steps = 150
    made_batches = [batch(seed) for seed in range(8)]
    optimizer = build_optimizer(model, name="adamw-torch", learning_rate=5e-3)
    records = list(
        train_steps(
            model,
            optimizer,
            ([made_batches[i % 8]] for i in range(steps)),
            start=0,
            stop=steps,
            total=steps,
            learning_rate=lambda step: 5e-3,
            device=device,
        )
    )
    one = batch(0)
    alike = []
    for student in (masked_lm(PLAIN, 0), model.student):
        student.eval()
        with torch.no_grad():
            own = student.piece_logits(student.outputs(one)).argmax(-1)
            theirs = teacher.piece_logits(teacher.outputs(one)).argmax(-1)
        alike.append((own == theirs).float().mean().item())
    assert records[-1].loss < records[0].loss
    assert alike[1] > alike[0] + 0.3


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"temperature": 0.0}, "temperature: got 0.0; expected more than 0"),
        ({"soft_weight": -1.0}, "soft_weight: got -1.0"),
        ({"hard_weight": float("nan")}, "hard_weight: got nan"),
        ({"soft_schedule": "linear"}, "soft_schedule: no 'linear'"),
        ({"soft_weight": 0.0}, "nothing to learn"),
        ({"soft_weight": 0.0, "hard_weight": 1.0}, "nothing to learn from a teacher"),
        ({"matches": ("5,2,hidden,hidden_mse,1,linear",)}, "teacher has no layer 5"),
        ({"matches": ("4,3,hidden,hidden_mse,1,linear",)}, "student has no layer 3"),
        ({"matches": ("0,1,attention,attention_mse_sum,1",)}, "expected 1 to 4"),
        ({"matches": ("4,2,hidden,hidden_mse,1",)}, "projection is missing; expected 4,2,hidden"),
        ({"matches": ("4,2,attention,attention_mse,1",)}, "4 heads, the student 2"),
        ({"matches": ("4,2,hidden,attention_mse,1",)}, "compares attention, not hidden"),
        ({"matches": ("4,2,hidden,nst,1",)}, "takes two layers, as 0"),
        ({"matches": ("0+4,0+2,hidden,nst,1,linear",)}, "needs no projection"),
        ({"matches": ("4,2,hidden,hidden_mes,1,linear",)}, "did you mean 'hidden_mse'"),
        ({"matches": ("4,2,hidden",)}, "3 parts; expected LAYER_T,LAYER_S"),
        ({"matches": ("4,x,hidden,cos,1",)}, "no number"),
        ({"matches": ("4,2,hidden,cos,-1,linear",)}, "weight -1.0"),
        ({"matches": ("4,2,hidden,cos,1,linear",) * 2}, "given twice"),
    ],
)
def test_bad_settings_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        made(dataclasses.replace(Settings(), **changed))
    assert said in str(caught.value)


def test_matches_are_with_one_teacher() -> None:
    settings = Settings(teacher=(Path("a"), Path("b")), matches=("4,2,hidden,cos,1,linear",))
    with pytest.raises(UserError, match="one teacher; got 2"):
        made(settings)


def test_the_help_of_matches_has_every_name() -> None:
    [flag] = [flag for flag in flags_of(Settings) if flag.name == "matches"]
    words = set(re.findall(r"\w+", flag.help))
    assert {*LOSSES, *FEATURES, *PROJECTIONS} - {"none"} <= words
