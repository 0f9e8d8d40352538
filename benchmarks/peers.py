"""The same training in Lightning Fabric, Hugging Face Accelerate and Lightning's Trainer.

Each is used as in its documentation, and logs every ten steps, like our loop:

- Fabric: `setup`, `setup_dataloaders`, `backward`, `clip_gradients`, and its CSV logger. No
  checkpoints, which are left to the user.
- Accelerate: `prepare`, `backward`, `clip_grad_norm_`, and `log` with a tracker that writes
  JSON lines, since it has none for files. No checkpoints either.
- Trainer: a `LightningModule`, its CSV logger, the learning-rate monitor, and the default progress
  bar and checkpoints. No evaluation. Unlike ours, it doesn't log the gradient norm.

Their `DataLoader` fetches a whole batch at once, so nothing has to be collated, and makes one pass
over all steps, so no epoch has to be started. Their augmentation uses one generator. The clock
starts with the first batch.
"""

import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

LOG_EVERY = 10


@dataclass(frozen=True)
class Workload:
    """What every loop trains on: the model, the batches, the optimizer, the schedule."""

    package: Any  # of a rendered project
    config: Any
    train_set: Any
    clock: Callable[[], float]  # synchronizes the device

    def model(self) -> Any:
        """A newly initialized model."""
        import torch

        device = torch.device("cpu")
        return self.package.training.loop.build_model(self.config, self.train_set, device)

    def optimizer(self, model: Any) -> Any:
        """AdamW, as in the project."""
        return self.package.training.optimizer.build_optimizer(model, self.config.training)

    def schedule(self, optimizer: Any) -> Any:
        """The project's learning rate as a PyTorch scheduler."""
        import torch

        settings = self.config.training
        rate = self.package.training.optimizer.learning_rate
        return torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate(step, settings) / settings.learning_rate
        )

    def loss(self, model: Any, inputs: Any, targets: Any) -> Any:
        """The mean loss of a batch."""
        return self.package.models.network.per_example_loss(model(inputs), targets).mean()

    @property
    def steps(self) -> int:
        """Optimizer steps of a run."""
        return self.config.training.max_steps

    @property
    def precision(self) -> str:
        """The precision by Lightning's name."""
        return "bf16-mixed" if self.config.training.precision == "bfloat16" else "32-true"

    def rows(self) -> Iterator[Any]:
        """The examples of each step: shuffled, epoch after epoch."""
        import numpy as np

        rng = np.random.default_rng(0)
        size, step = self.config.training.batch_size, 0
        while True:
            order = rng.permutation(len(self.train_set))
            for first in range(0, len(order) - size + 1, size):
                if step == self.steps:
                    return
                step += 1
                yield order[first : first + size]

    @cached_property
    def gather(self) -> Callable[[Any], tuple[Any, Any]]:
        """A function that returns the augmented batch of some rows, from arrays in memory."""
        import numpy as np
        import torch

        transforms, features = self.package.features.transforms, self.config.features
        inputs, targets = np.array(self.train_set.inputs), np.array(self.train_set.targets)
        rng = torch.Generator().manual_seed(0)

        def gather(rows: Any) -> tuple[Any, Any]:
            x = transforms.preprocess(torch.from_numpy(inputs[rows]))
            return transforms.augment(x, rng, features), torch.from_numpy(targets[rows])

        return gather

    def loader(self) -> Any:
        """The batches as a `DataLoader`."""
        import torch
        from torch.utils.data import BatchSampler, DataLoader, Dataset

        workload = self

        class Examples(Dataset[Any]):
            """A map-style dataset that returns a whole batch at once."""

            def __getitems__(self, rows: Any) -> Any:
                return workload.gather(rows)

            def __len__(self) -> int:
                return len(workload.train_set)

        class Batches(BatchSampler):
            """All batches of the run."""

            def __init__(self) -> None:
                self.batch_size, self.drop_last = workload.config.training.batch_size, True

            def __iter__(self) -> Iterator[Any]:
                return workload.rows()

            def __len__(self) -> int:
                return workload.steps

        return DataLoader(
            Examples(),
            batch_sampler=Batches(),
            collate_fn=_identity,
            pin_memory=torch.cuda.is_available(),
        )


def _identity(batch: Any) -> Any:
    return batch


def fabric(workload: Workload, folder: Path) -> float:
    """Seconds per step with Lightning Fabric."""
    lightning = importlib.import_module("lightning.fabric")
    loggers = importlib.import_module("lightning.fabric.loggers")
    fabric = lightning.Fabric(
        devices=1, precision=workload.precision, loggers=loggers.CSVLogger(folder)
    )
    fabric.launch()
    model = workload.model()
    model, optimizer = fabric.setup(model, workload.optimizer(model))
    schedule = workload.schedule(optimizer)
    clip = workload.config.training.gradient_clip
    loader = fabric.setup_dataloaders(workload.loader())
    start = workload.clock()
    for step, (inputs, targets) in enumerate(loader, 1):
        loss = workload.loss(model, inputs, targets)
        optimizer.zero_grad()
        fabric.backward(loss)
        norm = fabric.clip_gradients(model, optimizer, max_norm=clip)
        optimizer.step()
        schedule.step()
        if step % LOG_EVERY == 0:
            (rate,) = {*schedule.get_last_lr()}
            fabric.log_dict(_metrics(loss, norm, rate), step)
    fabric.logger.finalize("success")
    return (workload.clock() - start) / workload.steps


def accelerate(workload: Workload, folder: Path) -> float:
    """Seconds per step with Hugging Face Accelerate."""
    library = importlib.import_module("accelerate")
    tracking = importlib.import_module("accelerate.tracking")
    folder.mkdir(parents=True)

    class JsonLinesTracker(tracking.GeneralTracker):
        """Writes one JSON object per logged step."""

        name, requires_logging_directory = "lines", False

        def __init__(self) -> None:
            super().__init__()
            self.file = (folder / "metrics.jsonl").open("w", encoding="utf-8")

        @property
        def tracker(self) -> Any:
            return self.file

        def store_init_configuration(self, values: Any) -> None:
            """Nothing to store."""

        def log(self, values: Any, step: int | None = None, **_: Any) -> None:
            print(json.dumps({"step": step, **values}), file=self.file, flush=True)

        def finish(self) -> None:
            self.file.close()

    mixed_precision = "bf16" if workload.precision.startswith("bf16") else "no"
    accelerator = library.Accelerator(mixed_precision=mixed_precision, log_with=JsonLinesTracker())
    accelerator.init_trackers("bench")
    model = workload.model()
    optimizer = workload.optimizer(model)
    model, optimizer, loader, schedule = accelerator.prepare(
        model, optimizer, workload.loader(), workload.schedule(optimizer)
    )
    clip = workload.config.training.gradient_clip
    start = workload.clock()
    for step, (inputs, targets) in enumerate(loader, 1):
        loss = workload.loss(model, inputs, targets)
        optimizer.zero_grad()
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        schedule.step()
        if step % LOG_EVERY == 0:
            (rate,) = {*schedule.get_last_lr()}
            accelerator.log(_metrics(loss, norm, rate), step=step)
    accelerator.end_training()
    return (workload.clock() - start) / workload.steps


def trainer(workload: Workload, folder: Path) -> float:
    """Seconds per step with Lightning's Trainer."""
    lightning = importlib.import_module("lightning.pytorch")
    loggers = importlib.import_module("lightning.pytorch.loggers")
    callbacks = importlib.import_module("lightning.pytorch.callbacks")
    times: dict[str, float] = {}

    class Module(lightning.LightningModule):
        """The model, its loss and its optimizer."""

        def __init__(self) -> None:
            super().__init__()
            self.model = workload.model()

        def training_step(self, batch: Any, index: int) -> Any:
            loss = workload.loss(self.model, *batch)
            self.log("train/loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            """AdamW, with a learning rate that changes at every step."""
            optimizer = workload.optimizer(self.model)
            schedule = {"scheduler": workload.schedule(optimizer), "interval": "step"}
            return {"optimizer": optimizer, "lr_scheduler": schedule}

    class Timer(callbacks.Callback):
        """Measures the time from the first batch to the end."""

        def on_train_start(self, trainer: Any, module: Any) -> None:
            """The first batch comes next."""
            times["start"] = workload.clock()

        def on_train_end(self, trainer: Any, module: Any) -> None:
            """The last checkpoint has been written."""
            times["end"] = workload.clock()

    lightning.Trainer(
        devices=1,
        precision=workload.precision,
        max_steps=workload.steps,
        gradient_clip_val=workload.config.training.gradient_clip,
        log_every_n_steps=LOG_EVERY,
        limit_val_batches=0,
        default_root_dir=folder,
        logger=loggers.CSVLogger(folder),
        callbacks=[callbacks.LearningRateMonitor(), Timer()],
    ).fit(Module(), workload.loader())
    return (times["end"] - times["start"]) / workload.steps


def _metrics(loss: Any, norm: Any, rate: float) -> dict[str, float]:
    return {
        "train/loss": loss.item(),
        "train/gradient_norm": norm.item(),
        "train/learning_rate": rate,
    }


PEERS = {
    "Fabric": ("lightning", fabric),
    "Accelerate": ("accelerate", accelerate),
    "Trainer": ("lightning", trainer),
}
