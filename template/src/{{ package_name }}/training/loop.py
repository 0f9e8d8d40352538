# The template's: updates improve this file and keep your edits.
"""The whole training loop. Read it top to bottom; change what you like.

A step is a function of the state before it, the seed and its number: the batch, the augmentation
and the dropout follow from (seed, step). That is why a checkpoint of the state suffices to resume
exactly, and why the loop never saves or restores a random generator.
"""

from __future__ import annotations

import logging
import math
from contextlib import ExitStack, closing
from functools import partial, reduce

import torch
from rich.console import Console
from torch import Tensor, nn

from ..config import Config, to_dict
from ..data.dataset import Dataset, prepare
from ..data.loader import BatchOrder, load
from ..errors import NAME, Interrupted, RunError, TrainingError
from ..eval.evaluate import predict
from ..features import transforms
from ..models.network import Network, losses
from ..protocols import Batch, Metrics, Split, Tracker
from .checkpoint import CheckpointStore, State
from .device import Device
from .monitor import Monitor, rewind
from .optimizer import build_optimizer, learning_rate, set_learning_rate
from .retention import retained
from .run import Run, stop_on_signal
from .tracker import open_tracker
from .writer import Writer

logger = logging.getLogger(__name__)


def train(
    config: Config, run: Run, training: Dataset, validation: Dataset, console: Console
) -> State:
    """Train from the run's newest checkpoint, or from the beginning, to the last step.

    Args:
        config: all settings; see config.py.
        run: where everything is written. The caller holds its lock.
        training: the records to learn from, augmented or not.
        validation: the records that choose the best checkpoint, never augmented.
        console: where progress is shown.

    Raises:
        Interrupted: SIGTERM or SIGINT came; the state is saved.
        TrainingError: the loss isn't finite any more; the last good checkpoint stays.
        CheckpointError: a checkpoint couldn't be written, or none can be read.
        RunError: the run has more steps behind it than it is to have.
    """
    settings, device = config.training, Device.choose(config.training)
    device.seed(config.seed, "weights")
    model = build_network(config, training).to(device.name)
    state = State(model, build_optimizer(model, settings))

    weights = sum(parameter.numel() for parameter in model.parameters())
    logger.debug("%d weights on %s, %d records", weights, device.name, len(training))

    checkpoints = CheckpointStore(run.checkpoints, partial(retained, config=config.checkpoint))
    checkpoints.sweep()
    checkpoints.restore(state)
    if state.step > settings.max_steps:
        raise RunError(
            f"training.max_steps = {settings.max_steps}: expected at least {state.step}, "
            f"the steps that {run.folder} has behind it"
        )
    for file in (run.metrics, run.timings):
        rewind(file, state.step)

    order = batch_order(config, training)
    batches = load(training, order.steps(state.step, settings.max_steps), config.data.workers)

    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signal())
        writer = stack.enter_context(closing(Writer()))
        tracker, run_id = open_tracker(run.folder, to_dict(config), state.step)
        run.write_provenance(run.read_provenance() | {"tracker": run_id})
        stack.push(partial(_close, tracker))
        monitor = Monitor(run, tracker, console, settings.max_steps)
        stack.enter_context(monitor.running(state.step))
        for path in checkpoints.damaged:
            monitor.say(f"{path} is damaged; resuming from an earlier checkpoint")

        for batch in batches:
            device.seed(config.seed, "step", state.step)  # for dropout
            rate = learning_rate(state.step, settings)
            set_learning_rate(state.optimizer, rate)
            loss, gradient_norm = step(state, device.place(batch), device, config)
            state.step += 1

            last = state.step == settings.max_steps
            evaluating = last or state.step % settings.evaluate_every == 0
            logging_ = evaluating or state.step % settings.log_every == 0
            saving = last or state.step % config.checkpoint.every == 0 or bool(stop)
            if logging_ or saving:
                metrics = {
                    "train/loss": loss.item(),  # waits for the device, hence not in every step
                    "train/gradient_norm": gradient_norm.item(),
                    "train/learning_rate": rate,
                }
                if evaluating:
                    found = predict(model, validation, settings.batch_size)
                    metrics |= {
                        "validation/loss": found.loss,
                        "validation/accuracy": found.accuracy,
                    }
                require_finite(metrics, state, checkpoints)
                if evaluating:
                    best_by, best_is = config.checkpoint.metric, config.checkpoint.best_is
                    saving |= state.improve(metrics[best_by], best_is)
                if logging_:
                    monitor.log(state.step, metrics, settings.batch_size, device.memory())
            monitor.advance(state.step)
            stopping = bool(stop) and not last  # a signal may have come while evaluating
            if saving or stopping:
                monitor.flush()
                checkpoints.save(state, writer)
            if stopping:
                raise Interrupted(
                    f"stopped by {stop} after step {state.step}, which is saved. "
                    f"Continue with: {NAME} train --resume {run.folder}"
                )
    return state


def records(config: Config, split: Split) -> Dataset:
    """The records of one split, with everything that is done to them; prepared if need be."""
    return Dataset(
        folder=prepare(config.data),
        split=split,
        prepare=transforms.prepare,
        augment=partial(transforms.augment, config=config.features) if split == "train" else None,
        seed=config.seed,
    )


def require_trainable(config: Config, training: Dataset) -> None:
    """Find out before a run is made what would stop it in its first step.

    Raises:
        ConfigError: this machine doesn't have the device.
        DataError: a batch is larger than the split.
    """
    Device.choose(config.training)
    batch_order(config, training)
    assert len(training.inputs) == len(training), "opened, so that damage shows now"


def batch_order(config: Config, training: Dataset) -> BatchOrder:
    """Which records each step sees."""
    return BatchOrder(
        records=len(training), batch_size=config.training.batch_size, seed=config.seed
    )


def step(state: State, batch: Batch, device: Device, config: Config) -> tuple[Tensor, Tensor]:
    """One step of the optimizer. Gives the mean loss and the norm of the gradient, both scalars."""
    total: list[Tensor] = []
    for inputs, labels in batch.split(config.training.accumulation_steps):
        with device.autocast():
            loss = losses(state.model(inputs), labels).sum() / len(batch.labels)
        loss.backward()
        total.append(loss.detach())
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), config.training.gradient_clip)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    return reduce(torch.add, total), norm


def build_network(config: Config, records: Dataset) -> Network:
    """The network for records like these, with weights drawn from the current random state."""
    shape = records.prepare(records.inputs[:1]).shape[1:]
    return Network(config.model, shape, len(records.classes))


def require_finite(metrics: Metrics, state: State, checkpoints: CheckpointStore) -> None:
    """Stop before a broken state overwrites a good one.

    Raises:
        TrainingError: a metric is NaN or infinite.
    """
    broken = {name: value for name, value in metrics.items() if not math.isfinite(value)}
    if broken:
        raise TrainingError(
            f"step {state.step}: {broken} with learning rate {metrics['train/learning_rate']:g}. "
            f"The last good checkpoint is that of step {checkpoints.newest() or 0}; "
            "try a lower training.learning_rate or training.gradient_clip"
        )


def _close(tracker: Tracker, kind: object, error: object, trace: object) -> None:
    if error is None:
        tracker.close("finished")
    else:
        tracker.close("interrupted" if isinstance(error, Interrupted) else "failed")
