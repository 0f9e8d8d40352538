# The template's: updates improve this file and keep your edits.
"""Predictions of a language model, their metrics with confidence intervals, and generated text.

Shapes: B windows in a batch, T tokens in a window, V tokens in the vocabulary, D documents.
"""

import csv
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..config import Config
from ..data import source
from ..data.dataset import Dataset, format_cell, open_csv
from ..data.loader import BatchKey
from ..data.tokenizer import Tokenizer, load_tokenizer
from ..data.validation import Array, Schema, Unreadable
from ..features import transforms
from ..models.network import Network, per_token_loss
from ..training.device import compute_shared
from .metrics import metrics

GENERATED = 200  # tokens in a sample of text
SAMPLES = 4


@dataclass(frozen=True, slots=True)
class Predictions:
    """Sums over the predicted tokens of each document."""

    model: Network  # to generate text with
    documents: Array  # (D,), which documents of the split
    nats: Array  # (D,), losses
    tokens: Array  # (D,), how many
    num_bytes: Array  # (D,), that these tokens encode
    confidence: Array  # (D,), probabilities of the most probable token
    correct: Array  # (D,), whether that is the right one

    def __len__(self) -> int:
        return len(self.documents)

    @property
    def bits_per_byte(self) -> Array:
        """Of each document, (D,)."""
        return self.nats / np.maximum(self.num_bytes, 1) / math.log(2)

    def metrics(self, rows: Array | slice = slice(None)) -> dict[str, float]:
        """The mean loss per token, and the metrics of metrics.py, of these documents."""
        nats_D, tokens_D = self.nats[rows], self.tokens[rows]
        loss = float(nats_D.sum() / tokens_D.sum())
        return {
            "loss": loss,
            **metrics(nats_D, tokens_D, self.num_bytes[rows], self.correct[rows]),
        }


@torch.inference_mode()
def predict(model: Network, dataset: Dataset, batch_size: int) -> Predictions:
    """Predict every token, in float32 and without dropout or augmentation."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    plain = replace(dataset, augmentation=None)

    def predict_batch(key: BatchKey) -> tuple[Array, Array]:
        """Documents, and the sums over their tokens, as in the names below."""
        inputs, targets = plain[key]
        logits_BTV, targets_BT = model(inputs.to(device)), targets.to(device)
        losses_BT = per_token_loss(logits_BTV, targets_BT)
        confidence_BT, predicted_BT = model.postprocess(logits_BTV).max(dim=-1)
        correct_BT = predicted_BT == targets_BT
        values = losses_BT, torch.ones_like(losses_BT), confidence_BT, correct_BT

        # A window may contain the end of a document and the beginning of another one.
        positions_BT = dataset.starts(key.rows)[:, None] + np.arange(1, dataset.context + 1)
        found, index = np.unique(dataset.documents(positions_BT), return_inverse=True)
        weights = [values_BT.double().flatten().cpu().numpy() for values_BT in values]
        return found, np.stack([np.bincount(index.ravel(), weight) for weight in weights])

    names = ("nats", "tokens", "confidence", "correct")
    sums_D = {name: np.zeros(len(dataset.num_bytes)) for name in names}
    for found, sums in compute_shared(predict_batch, plain.keys(batch_size)):
        for name, values in zip(names, sums, strict=True):
            sums_D[name][found] += values
    model.train(was_training)

    predicted = np.flatnonzero(sums_D["tokens"])
    bytes_per_token = dataset.num_bytes / np.diff(dataset.ends)
    return Predictions(
        model=model,
        documents=predicted,
        num_bytes=(bytes_per_token * sums_D["tokens"])[predicted],
        **{name: values[predicted] for name, values in sums_D.items()},
    )


def bootstrap(
    metrics_of: Callable[[Array], Mapping[str, float]], count: int
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap confidence intervals over documents, whose tokens aren't independent.

    Another training run would add to them. Source: Efron (1979),
    https://doi.org/10.1214/aos/1176344552.

    Args:
        metrics_of: the metrics of these documents, which were drawn with replacement.
        count: number of documents.
    """
    rng = np.random.default_rng(0)
    samples = [metrics_of(rng.integers(count, size=count)) for _ in range(300)]
    intervals: dict[str, tuple[float, float]] = {}
    for name in samples[0]:
        low, high = np.quantile([sample[name] for sample in samples], (0.025, 0.975))
        intervals[name] = float(low), float(high)
    return intervals


def write_predictions(folder: Path, predictions: Predictions, dataset: Dataset) -> str:
    """predictions.csv: one row per document, with its metadata. And samples.txt: generated text.

    Returns:
        The name of the file to look at.
    """
    names, examples = dataset.metadata()
    columns = {
        "confidence": predictions.confidence / predictions.tokens,
        "correct": predictions.correct / predictions.tokens,
        "loss": predictions.bits_per_byte,
        "weight": predictions.num_bytes,
    }
    for name in ("predictions.csv", "samples.txt"):
        (folder / name).unlink(missing_ok=True)  # a link there isn't followed
    with open_csv(folder / "predictions.csv") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *columns, *names])
        for document, *row in zip(predictions.documents, *columns.values(), strict=True):
            id_, *metadata = examples[document]
            writer.writerow([id_, *map(format_cell, row), *metadata])
    write_samples(folder / "samples.txt", predictions.model, dataset)
    return "samples.txt"


def write_samples(path: Path, model: Network, dataset: Dataset) -> None:
    """How the model continues a few windows of the split."""
    rows = np.linspace(0, len(dataset) - 1, min(SAMPLES, len(dataset))).astype(int)
    prompts = dataset.preprocess(rows).numpy()
    tokenizer = dataset.tokenizer
    generated = generate(model, prompts, dataset.context, tokenizer.separator, seed=dataset.seed)
    parts: list[str] = []
    for row, prompt, continuation in zip(rows, prompts, generated, strict=True):
        before = _text(prompt[-GENERATED:], tokenizer)
        after = _text(continuation, tokenizer)
        parts.append(f"=== {dataset.ids[row]}\n{before}\n--- continued by the model\n{after}\n")
    path.write_text("\n".join(parts), encoding="utf-8", errors="backslashreplace")


def _text(tokens: Array, tokenizer: Tokenizer) -> str:
    """Readable text: other characters, such as a part of one, are replaced."""
    text = tokenizer.decode(tokens).decode(errors="replace")
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def predict_new(
    model: Network, schema: Schema, path: Path, config: Config, output: Path
) -> tuple[int, int]:
    """Evaluate and continue new documents, which `source.read_new` reads, and write them as CSV.

    Columns are id, bits_per_byte and continuation. What can't be read, or doesn't fit the schema,
    is reported on standard error.

    Returns:
        How many documents were predicted, and how many couldn't be.
    """
    predicted, failed = 0, 0
    tokenizer, (context,) = load_tokenizer(schema), schema.target_shape
    model.eval()
    with open_csv(output) as file:
        writer = csv.writer(file)
        writer.writerow(["id", "bits_per_byte", "continuation"])
        for example in source.read_new(path, config.data):
            problems = list(schema.problems(example, labeled=False))
            if isinstance(example, Unreadable) or problems:
                failed += 1
                print(f"{example.id}: {', '.join(problems)}", file=sys.stderr)
                continue

            text = tokenizer.encode(example.inputs.tobytes()).astype(np.int64)
            tokens = np.concatenate(([tokenizer.separator], text))
            loss = _document_loss(model, tokens, context, config.training.batch_size)
            bits_per_byte = loss / max(example.inputs.size, 1) / math.log(2)
            (generated,) = generate(
                model, tokens[None], context, tokenizer.separator, seed=config.seed
            )
            continuation = tokenizer.decode(generated).decode(errors="replace")
            writer.writerow([example.id, format_cell(bits_per_byte), continuation])
            predicted += 1
    return predicted, failed


@torch.inference_mode()
def _document_loss(model: Network, tokens: Array, context: int, batch_size: int) -> float:
    """In nats, summed over all tokens but the first, a separator. Cut into windows as in training;
    separators fill the last one."""
    device, count = next(model.parameters()).device, len(tokens) - 1
    padded = torch.full((math.ceil(count / context) * context + 1,), int(tokens[0]))
    padded[: len(tokens)] = torch.from_numpy(tokens)
    inputs, targets = padded[:-1].view(-1, context), padded[1:].view(-1, context)
    losses: list[Tensor] = []
    for x, y in zip(inputs.split(batch_size), targets.split(batch_size), strict=True):
        logits = model(transforms.preprocess(x).to(device))
        losses.append(per_token_loss(logits, y.to(device)).double().cpu())
    return torch.cat(losses).flatten()[:count].sum().item()


@torch.inference_mode()
def generate(
    model: Network,
    prompts_BT: Array,
    context: int,
    separator: int,
    *,
    seed: int,
    temperature: float = 0.8,
) -> Array:
    """Continue each prompt by sampling one token after the other.

    Args:
        model: the network, in evaluation mode.
        prompts_BT: tokens.
        context: at most so many tokens are shown to the model.
        separator: the token that ends a document, which isn't generated.
        seed: the same seed generates the same text on the same machine.
        temperature: 1 samples from the model's probabilities; less prefers probable tokens.

    Returns:
        The generated tokens, (B, GENERATED).
    """
    rng = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    tokens_BT = torch.from_numpy(prompts_BT)
    for _ in range(GENERATED):
        inputs_BT = transforms.preprocess(tokens_BT[:, -context:])
        probabilities_BTV = model.postprocess(model(inputs_BT.to(device)))
        weights_BV = probabilities_BTV[:, -1].cpu() ** (1 / temperature)
        weights_BV[:, separator] = 0
        tokens_BT = torch.cat((tokens_BT, torch.multinomial(weights_BV, 1, generator=rng)), dim=1)
    return tokens_BT[:, -GENERATED:].numpy()
