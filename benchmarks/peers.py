"""The same training in Lightning Fabric, Hugging Face Accelerate and Lightning's Trainer.

Each is used as its documentation shows for such a loop, and logs every ten steps, as ours does:

- Fabric: `setup`, `setup_dataloaders`, `backward`, `clip_gradients`, and its CSV logger. No bar, no
  checkpoints: those are its user's own to write.
- Accelerate: `prepare`, `backward`, `clip_grad_norm_`, and `log` with a tracker that writes lines
  of JSON, since it brings none for files. No bar, no checkpoints either.
- Trainer: a `LightningModule`, its CSV logger and the learning-rate monitor; bar and checkpoints as
  they are by default. Evaluation is off. Unlike ours, it doesn't log the gradient's norm.

They get their batches from a `DataLoader` that gathers a whole batch at once, hence pays for no
collation, in one pass that is as long as the run, hence pays for no beginning of an epoch; and the
augmentation draws from one generator, hence pays for no key. Their clocks run from the first batch
on, as ours does: starting up isn't counted.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

LOG_EVERY = 10


@dataclass(frozen=True)
class Work:
    """What every loop trains: the network, the batches, the optimizer, the schedule."""

    package: Any  # of a rendered project
    config: Any
    records: Any
    clock: Callable[[], float]  # waits for the device

    def network(self) -> Any:
        """Fresh weights."""
        import torch

        torch.manual_seed(0)
        return self.package.training.loop.build_network(self.config, self.records)

    def optimizer(self, model: Any) -> Any:
        """AdamW, as the project has it."""
        return self.package.training.optimizer.build_optimizer(model, self.config.training)

    def schedule(self, optimizer: Any) -> Any:
        """The project's learning rate as torch's scheduler."""
        import torch

        settings = self.config.training
        rate = self.package.training.optimizer.learning_rate
        return torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate(step, settings) / settings.learning_rate
        )

    def loss(self, model: Any, inputs: Any, labels: Any) -> Any:
        """The mean loss of a batch."""
        return self.package.models.network.losses(model(inputs), labels).mean()

    @property
    def steps(self) -> int:
        """How many there are."""
        return self.config.training.max_steps

    @property
    def precision(self) -> str:
        """As Lightning calls it."""
        return "bf16-mixed" if self.config.training.precision == "bfloat16" else "32-true"

    def rows(self) -> Iterator[Any]:
        """Which records each step sees: shuffled, epoch after epoch."""
        import numpy as np

        random = np.random.default_rng(0)
        size, done = self.config.training.batch_size, 0
        while True:
            order = random.permutation(len(self.records))
            for first in range(0, len(order) - size + 1, size):
                if done == self.steps:
                    return
                done += 1
                yield order[first : first + size]

    @cached_property
    def gather(self) -> Callable[[Any], tuple[Any, Any]]:
        """The function from rows to a batch, augmented."""
        import numpy as np
        import torch

        transforms = self.package.features.transforms
        augment = partial(transforms.augment, config=self.config.features)
        inputs, labels = np.array(self.records.inputs), torch.from_numpy(self.records.labels)
        random = np.random.default_rng(0)

        def gather(rows: Any) -> tuple[Any, Any]:
            x = augment(transforms.prepare(inputs[rows]), random)
            return torch.from_numpy(x), labels[rows]

        return gather

    def loader(self) -> Any:
        """The batches as frameworks take them."""
        import torch
        from torch.utils.data import BatchSampler, DataLoader, Dataset

        work = self

        class Records(Dataset[Any]):
            """A map-style dataset that gives a whole batch at once."""

            def __getitems__(self, rows: Any) -> Any:
                return work.gather(rows)

            def __len__(self) -> int:
                return len(work.records)

        class Batches(BatchSampler):
            """All batches of the run."""

            def __init__(self) -> None:
                self.batch_size, self.drop_last = work.config.training.batch_size, True

            def __iter__(self) -> Iterator[Any]:
                return work.rows()

            def __len__(self) -> int:
                return work.steps

        return DataLoader(
            Records(),
            batch_sampler=Batches(),
            collate_fn=_as_it_is,
            pin_memory=torch.cuda.is_available(),
        )


def _as_it_is(batch: Any) -> Any:
    return batch


def fabric(work: Work, folder: Path) -> float:
    """Seconds a step with Lightning Fabric."""
    lightning = importlib.import_module("lightning.fabric")
    loggers = importlib.import_module("lightning.fabric.loggers")
    fabric = lightning.Fabric(
        devices=1, precision=work.precision, loggers=loggers.CSVLogger(folder)
    )
    fabric.launch()
    model = work.network()
    model, optimizer = fabric.setup(model, work.optimizer(model))
    schedule = work.schedule(optimizer)
    clip = work.config.training.gradient_clip
    loader = fabric.setup_dataloaders(work.loader())
    began = work.clock()
    for step, (inputs, labels) in enumerate(loader, 1):
        loss = work.loss(model, inputs, labels)
        optimizer.zero_grad()
        fabric.backward(loss)
        norm = fabric.clip_gradients(model, optimizer, max_norm=clip)
        optimizer.step()
        schedule.step()
        if step % LOG_EVERY == 0:
            (rate,) = {*schedule.get_last_lr()}
            fabric.log_dict(_metrics(loss, norm, rate), step)
    fabric.logger.finalize("success")
    return (work.clock() - began) / work.steps


def accelerate(work: Work, folder: Path) -> float:
    """Seconds a step with Hugging Face Accelerate."""
    library = importlib.import_module("accelerate")
    tracking = importlib.import_module("accelerate.tracking")
    folder.mkdir(parents=True)

    class Lines(tracking.GeneralTracker):
        """A line of JSON for each logged step."""

        name, requires_logging_directory = "lines", False

        def __init__(self) -> None:
            super().__init__()
            self.file = (folder / "metrics.jsonl").open("w", encoding="utf-8")

        @property
        def tracker(self) -> Any:
            """What it writes to."""
            return self.file

        def store_init_configuration(self, values: Any) -> None:
            """Nothing to store."""

        def log(self, values: Any, step: int | None = None, **_: Any) -> None:
            """One line."""
            print(json.dumps({"step": step, **values}), file=self.file, flush=True)

        def finish(self) -> None:
            """The end."""
            self.file.close()

    mixed = "bf16" if work.precision.startswith("bf16") else "no"
    accelerator = library.Accelerator(mixed_precision=mixed, log_with=Lines())
    accelerator.init_trackers("bench")
    network = work.network()
    optimizer = work.optimizer(network)
    model, optimizer, loader, schedule = accelerator.prepare(
        network, optimizer, work.loader(), work.schedule(optimizer)
    )
    clip = work.config.training.gradient_clip
    began = work.clock()
    for step, (inputs, labels) in enumerate(loader, 1):
        loss = work.loss(model, inputs, labels)
        optimizer.zero_grad()
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        schedule.step()
        if step % LOG_EVERY == 0:
            (rate,) = {*schedule.get_last_lr()}
            accelerator.log(_metrics(loss, norm, rate), step=step)
    accelerator.end_training()
    return (work.clock() - began) / work.steps


def trainer(work: Work, folder: Path) -> float:
    """Seconds a step with Lightning's Trainer."""
    lightning = importlib.import_module("lightning.pytorch")
    loggers = importlib.import_module("lightning.pytorch.loggers")
    callbacks = importlib.import_module("lightning.pytorch.callbacks")
    times: dict[str, float] = {}

    class Module(lightning.LightningModule):
        """The network, its loss and its optimizer."""

        def __init__(self) -> None:
            super().__init__()
            self.network = work.network()

        def training_step(self, batch: Any, index: int) -> Any:
            """The loss of one batch."""
            loss = work.loss(self.network, *batch)
            self.log("train/loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            """AdamW, with a rate that changes in every step."""
            optimizer = work.optimizer(self.network)
            schedule = {"scheduler": work.schedule(optimizer), "interval": "step"}
            return {"optimizer": optimizer, "lr_scheduler": schedule}

    class Clock(callbacks.Callback):
        """From the first batch to the end."""

        def on_train_start(self, trainer: Any, module: Any) -> None:
            """The first batch comes next."""
            times["began"] = work.clock()

        def on_train_end(self, trainer: Any, module: Any) -> None:
            """The last checkpoint is written."""
            times["ended"] = work.clock()

    lightning.Trainer(
        devices=1,
        precision=work.precision,
        max_steps=work.steps,
        gradient_clip_val=work.config.training.gradient_clip,
        log_every_n_steps=LOG_EVERY,
        limit_val_batches=0,
        default_root_dir=folder,
        logger=loggers.CSVLogger(folder),
        callbacks=[callbacks.LearningRateMonitor(), Clock()],
    ).fit(Module(), work.loader())
    return (times["ended"] - times["began"]) / work.steps


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
