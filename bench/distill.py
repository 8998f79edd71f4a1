"""Distillation steps on text: hanmo, live and from stored answers, against plain transformers.

A case is teacher:student:length. A step is MiniRBT's: soft targets at the masked pieces at
temperature 8, hidden states of evenly spread layers matched through a linear map each, AdamW. The
same sequences, threads, precision and weights' shapes; no dropout.

    live      hanmo: both models on packed rows, heads at masked pieces, logits in chunks
    stored    hanmo: the teacher's 64 best pieces and its matched layers come with the batch
    plain     two BertForMaskedLM of transformers (eager or sdpa, the faster), padded rows, whole
              logits, as MiniRBT's script with TextBrewer computes them (facts/07)
    mlm       hanmo's masked LM of the same student alone, to see what a teacher costs

Medians of interleaved rounds, after `--warm-up` of them. Pieces a second count real pieces.

    python bench/distill.py SHARDS [--cases small:tiny:128 base:minirbt-h256:128]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from pretrain import load, own_step, shape
from torch import nn
from torch.nn import functional as F

TEMPERATURE, TOP_K = 8.0, 64


def main() -> None:
    """Measure every case and print a RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--cases", nargs="+", default=["small:tiny:128", "small:tiny:512"])
    parser.add_argument("--pieces", type=int, default=4096, help="about so many a step")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device")
    parser.add_argument("--warm-up", type=int, default=2, help="rounds that do not count")
    options = parser.parse_args()

    from hanmo.train.devices import n_threads, prepare

    device = prepare(options.precision, threads=options.threads, name=options.device)
    print(f"device {device.name}, {device.precision}, {n_threads()} threads, {torch.__version__}")
    results = {}
    for case in options.cases:
        teacher, student, length = case.split(":")
        figures = measure(teacher, student, int(length), device, options)
        live = figures["live"]
        shown = (f"{k} {v:,.0f} ({live / v:.2f} x)" for k, v in figures.items() if k != "live")
        print(f"{case}: live {live:,.0f} pieces/s; {'; '.join(shown)}", flush=True)
        key = case.replace(":", "_").replace("-", "_")
        results[f"{key}_pieces_per_s"] = f"{live:.0f}"
        results[f"{key}_live_over_plain"] = f"{live / figures['plain']:.2f}"
        results[f"{key}_stored_over_plain"] = f"{figures['stored'] / figures['plain']:.2f}"
        results[f"{key}_mlm_over_live"] = f"{figures['mlm'] / live:.2f}"
    print("RESULT " + " ".join(f"{key}={value}" for key, value in results.items()))


def measure(teacher: str, student: str, length: int, device, options) -> dict[str, float]:
    """Return pieces a second of each way."""
    padded, tokenizer, packed = load(options.shards, length, options)
    big, small = (sized(name, tokenizer.size) for name in (teacher, student))
    pairs = matched(big.num_hidden_layers, small.num_hidden_layers)
    torch.manual_seed(1)
    live, answers = own_distillation(big, small, pairs, packed, device)
    steps: dict[str, Callable[[int], None]] = {
        "live": live,
        "stored": answers,
        "plain sdpa": peer_step(big, small, pairs, padded, device, attention="sdpa"),
        "plain eager": peer_step(big, small, pairs, padded, device, attention="eager"),
        "mlm": own_step(small, packed, device, "mlm"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for index in range(options.rounds + options.warm_up):
        for name, step in steps.items():
            start = time.perf_counter()
            step(index)
            if device.name == "cuda":
                torch.cuda.synchronize()
            if index >= options.warm_up:
                seconds[name].append((time.perf_counter() - start) / packed[index].n_pieces)
    figures = {name: 1 / statistics.median(values) for name, values in seconds.items()}
    figures["plain"] = max(figures.pop("plain sdpa"), figures.pop("plain eager"))
    return figures


def sized(name: str, vocab_size: int):
    """Return a shape without dropout."""
    import dataclasses

    return dataclasses.replace(
        shape(name),
        vocab_size=vocab_size,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def matched(big: int, small: int) -> list[tuple[int, int]]:
    """Every layer of the student with one of the teacher's, evenly spread, embeddings included."""
    return [(round(layer * big / small), layer) for layer in range(small + 1)]


def own_distillation(big, small, pairs, batches, device):
    """Return hanmo's step, live and from answers that were stored of the same batches."""
    import dataclasses

    from hanmo.distill.distillation import TextDistillation
    from hanmo.distill.settings import Settings
    from hanmo.distill.teachers import LiveTeacher, StoredAnswers, Watch
    from hanmo.model.masked_lm import MaskedLm
    from hanmo.train.loop import train_steps
    from hanmo.train.optim import build_optimizer

    settings = Settings(
        temperature=TEMPERATURE,
        matches=tuple(f"{t},{s},hidden,hidden_mse,1,linear" for t, s in pairs),
    )
    teacher = MaskedLm(big).to(device.name)
    layers = tuple(t for t, _ in pairs)

    def step(teacher, batches) -> Callable[[int], None]:
        model = TextDistillation(MaskedLm(small), [teacher], settings).to(device.name)
        records = train_steps(
            model,
            build_optimizer(model, learning_rate=1e-4),
            ([batch] for batch in batches),
            start=0,
            stop=len(batches),
            total=len(batches),
            learning_rate=lambda step: 1e-4,
            device=device,
        )
        return lambda index: next(records) and None

    cut = LiveTeacher(teacher, top_k=TOP_K)
    with_answers = []
    for batch in batches:
        with device.autocast():
            answer = cut.answer(batch, Watch(frozenset(layers)))
            scores = answer.rows(0, len(batch.positions))
        stored = {"asked/0/logits": scores.values.half(), "asked/0/classes": scores.classes}
        shape_ = batch.input_ids.shape
        for layer, hidden in answer.seen.hidden.items():
            stored[f"hidden/0/{layer}"] = batch.layout.spread(hidden).view(*shape_, -1).half()
        with_answers.append(dataclasses.replace(batch, targets={**batch.targets, **stored}))
    beside = StoredAnswers(big, 0, logits=True)
    return step(LiveTeacher(teacher), batches), step(beside, with_answers)


def peer_step(big, small, pairs, batches, device, *, attention: str) -> Callable[[int], None]:
    """Return the step of two models of transformers on padded rows."""
    import dataclasses

    from transformers import BertConfig, BertForMaskedLM

    def made(config):
        numbers = dataclasses.asdict(config)
        for name in ("embedding_size", "heads", "intermediates"):
            numbers.pop(name, None)
        return BertForMaskedLM(BertConfig(**numbers, attn_implementation=attention))

    teacher, student = made(big).to(device.name).eval(), made(small).to(device.name).train()
    maps = nn.ModuleList(nn.Linear(small.hidden_size, big.hidden_size) for _ in pairs)
    maps.to(device.name)
    parameters = [*student.parameters(), *maps.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01)

    def step(index: int) -> None:
        batch = batches[index]
        masked = torch.zeros_like(batch.input_ids, dtype=torch.bool).flatten()
        masked[batch.positions] = True
        inputs = {
            "input_ids": batch.input_ids,
            "attention_mask": (batch.sequence_ids > 0).long(),
            "token_type_ids": batch.token_type_ids,
            "output_hidden_states": True,
        }
        with device.autocast():
            with torch.no_grad():
                theirs = teacher(**inputs)
            ours = student(**inputs)
            here = masked.view_as(batch.input_ids)
            wanted = (theirs.logits[here].float() / TEMPERATURE).softmax(-1)
            own = (ours.logits[here].float() / TEMPERATURE).log_softmax(-1)
            loss = -(wanted * own).sum(-1).mean()
            for linear, (t, s) in zip(maps, pairs, strict=True):
                mapped = linear(ours.hidden_states[s]).float()
                loss = loss + F.mse_loss(mapped, theirs.hidden_states[t].float())
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()

    return step


if __name__ == "__main__":
    main()
