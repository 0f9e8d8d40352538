# The template's: updates improve this file and keep your edits.
"""Export a run's best model to a folder that needs PyTorch, but nothing of this project.

`python -m PACKAGE.export RUN FOLDER` writes model.pt2 (torch.export: from the inputs as
data/source.py reads them to the predictions, preprocessing included), model.safetensors (the
weights), the run's config.toml, schema.json and run.json, and a README with an example to check it.
"""

import shutil
import sys
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from .config import from_dict
from .data.validation import Schema
from .errors import RunError, report_error
from .features.transforms import preprocess
from .models.network import Network
from .training.checkpoint import module_tensors
from .training.loop import load_best
from .training.run import Run

README = """\
# {title}

```python
import numpy as np
import torch

model = torch.export.load("model.pt2").module()
inputs = torch.from_numpy(np.load("example_inputs.npy"))  # {dtype}, shape {shape}
predictions = model(inputs)  # {meaning}
expected = torch.from_numpy(np.load("example_predictions.npy"))
torch.testing.assert_close(predictions, expected)
```

The number of examples can be any; inputs are between {low:g} and {high:g}. Needs torch {torch} or
newer, and numpy.
"""


class Predictor(nn.Module):
    """From the inputs of a batch, before preprocessing, to the predictions."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network.postprocess(self.network(preprocess(inputs)))


def export(run: Run, folder: Path) -> None:
    """
    Raises:
        RunError: the folder exists, or the run has no checkpoint.
    """
    if folder.exists():
        raise RunError(f"{folder} exists; choose another folder")
    config = from_dict(run.read_config())
    network, step = load_best(config, run)
    predictor = Predictor(network.cpu()).eval()
    schema = Schema.load(run.folder)
    inputs = example_inputs(schema, run.read_provenance()["input_shape"])
    batch = torch.export.Dim("batch")
    program = torch.export.export(predictor, (inputs,), dynamic_shapes=({0: batch},))

    # What is exported has to predict the same, also for another number of examples.
    more = torch.cat([inputs, inputs, inputs])
    with torch.inference_mode():
        predictions = predictor(inputs)
        torch.testing.assert_close(program.module()(more)[: len(inputs)], predictions)

    temporary = folder.with_name(f".{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    torch.export.save(program, temporary / "model.pt2")
    np.save(temporary / "example_inputs.npy", inputs.numpy())
    np.save(temporary / "example_predictions.npy", predictions.numpy())
    # Not `save_file`, whose files only their owner can read.
    (temporary / "model.safetensors").write_bytes(save(module_tensors(network)))
    for name in ("config.toml", "schema.json", "run.json"):
        shutil.copy(run.folder / name, temporary)
    meaning = f"probabilities of {', '.join(schema.classes)}" if schema.classes else "predictions"
    text = README.format(
        title=f"{run.folder.as_posix()}, checkpoint of step {step}",
        dtype=str(inputs.dtype).removeprefix("torch."),
        shape=("examples", *inputs.shape[1:]),
        meaning=meaning,
        low=0 if schema.vocabulary_size else schema.low,
        high=schema.vocabulary_size - 1 if schema.vocabulary_size else schema.high,
        torch=torch.__version__,
    )
    (temporary / "README.md").write_text(text, encoding="utf-8")
    temporary.rename(folder)


def example_inputs(schema: Schema, preprocessed_shape: list[int]) -> Tensor:
    """Two random examples; where any length is valid, as long as those in training."""
    shape = schema.shape if -1 not in schema.shape else preprocessed_shape
    rng = np.random.default_rng(0)
    if schema.vocabulary_size:  # tokens
        tokens = rng.integers(schema.vocabulary_size, size=(2, *shape))
        return torch.from_numpy(tokens.astype(schema.target_dtype))
    dtype = np.dtype(schema.dtype)
    low, high = max(schema.low, -1.0), min(schema.high, 255.0)
    if np.issubdtype(dtype, np.integer):
        return torch.from_numpy(rng.integers(int(low), int(high) + 1, (2, *shape)).astype(dtype))
    return torch.from_numpy(rng.uniform(low, high, (2, *shape)).astype(dtype))


def main() -> int:
    parser = ArgumentParser(description="Export a run's best model.")
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="to be created")
    args = parser.parse_args()
    try:
        export(Run.open(args.run), args.folder)
    except Exception as error:
        return report_error(error)
    print(f"{args.folder}: see its README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
