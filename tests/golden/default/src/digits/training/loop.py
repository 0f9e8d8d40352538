# The template's: updates improve this file and keep your edits.
"""The whole training loop. Read it top to bottom; change what you like.

A step is a function of the state before it, the seed and its number: the batch, the augmentation
and the dropout follow from (seed, step). That is why a checkpoint of the state suffices to resume
exactly, and why the loop never saves or restores a random generator.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial, reduce

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from ..config import Config, TrainingConfig
from ..data.cache import prepare
from ..data.dataset import Dataset
from ..data.loader import BatchOrder, derive_seed, load, nth_seed
from ..errors import NAME, CheckpointError, Interrupted, RunError, TrainingError
from ..eval.evaluate import predict
from ..features import transforms
from ..models.network import Network, losses
from ..protocols import Batch, CheckpointWriter, Learner, Metrics, Split
from .checkpoint import CheckpointStore, State
from .device import Device
from .monitor import Monitor, rewind
from .optimizer import build_optimizer, learning_rate, set_learning_rate
from .retention import Strategy
from .run import Run, stop_on_signal
from .writer import Writer

logger = logging.getLogger(__name__)


def train(
    config: Config,
    run: Run,
    training: Dataset,
    validation: Dataset,
    console: Console,
    after_step: Callable[[], None] = lambda: None,
) -> State:
    """Train from the run's newest checkpoint, or from the beginning, to the last step.

    The last step is `training.max_steps`, or an earlier one by `training.patience` or
    `training.max_minutes`.

    Args:
        config: all settings; see config.py.
        run: where everything is written. The caller holds its lock.
        training: the records to learn from, augmented or not.
        validation: the records that choose the best checkpoint, never augmented.
        console: where progress is shown.
        after_step: called after each step: a profiler's.

    Raises:
        Interrupted: SIGTERM, SIGINT or SIGUSR1 came; the state is saved.
        TrainingError: a loss or a gradient isn't finite; the last good checkpoint stays.
        CheckpointError: a checkpoint couldn't be written, or none can be read.
        RunError: the run has more steps behind it than it is to have.
    """
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signal())
        settings, device = config.training, Device.choose(config.training)
        device.seed(derive_seed(config.seed, "weights"))
        model = build_network(config, training).to(device.name)
        state = State(model, build_optimizer(model, settings))

        parameters = sum(parameter.numel() for parameter in model.parameters())
        logger.debug("%d parameters on %s, %d examples", parameters, device.name, len(training))

        strategy, writer = Strategy(config.checkpoint), Writer()
        checkpoints = CheckpointStore(run.checkpoints, strategy)
        checkpoints.sweep()
        checkpoints.restore(state)
        if state.step == 0:
            look_at_data(model, training, settings.batch_size)
        if settings.compile:
            model.compile()
        if state.step > settings.max_steps:
            raise RunError(
                f"training.max_steps = {settings.max_steps}: expected at least {state.step}, "
                f"the steps that {run.folder} has behind it"
            )
        for file in (run.metrics, run.timings):
            rewind(file, state.step)
        run.broken.unlink(missing_ok=True)
        run.outcome.unlink(missing_ok=True)

        monitor = Monitor(run, config, console)
        ended = _ended(state, settings, monitor.seconds, evaluated=True)  # before it was resumed
        order = batch_order(config, training)
        steps = order.steps(state.step, state.step if ended else settings.max_steps)
        batches = iter(load(training, steps, config.data.workers))  # forks before there are threads

        stack.enter_context(monitor.running(state.step))
        stack.enter_context(_waiting_for(writer))
        for damaged in sorted(checkpoints.damaged):
            path = checkpoints.path(damaged)
            monitor.say(f"{path} is damaged; resuming from an earlier checkpoint")
        recent: list[tuple[Tensor, Tensor]] = []  # losses and norms, still on the device
        dropout = derive_seed(config.seed, "step")
        saved = time.monotonic()

        for batch in batches:
            device.seed(nth_seed(dropout, state.step))
            rate = learning_rate(state.step, settings)
            set_learning_rate(state.optimizer, rate)
            recent.append(step(state, device.place(batch), device, config))
            state.step += 1
            writer.check()

            after_step()

            ended = _ended(state, settings, monitor.seconds, evaluated=False)
            evaluating = bool(ended) or state.step % settings.evaluate_every == 0
            logging_ = evaluating or state.step % settings.log_every == 0
            stopping = bool(stop) and not ended
            saving = stopping or bool(ended) or strategy.due(state.step, time.monotonic() - saved)
            if logging_ or saving:
                metrics: dict[str, float] = {}
                for number, (loss, norm) in enumerate(_read(recent), state.step - len(recent) + 1):
                    metrics = {"train/loss": loss, "train/gradient_norm": norm}
                    require_finite(metrics, number, config, run, training)
                recent.clear()
                metrics["train/learning_rate"] = rate
                if evaluating:
                    held_out = predict(model, validation, settings.batch_size).metrics()
                    metrics |= {f"validation/{name}": held_out[name] for name in held_out}
                    require_finite(metrics, state.step, config, run, training)
                    selection = config.checkpoint
                    improved = state.improve(metrics[selection.metric], selection.mode)
                    ended = ended or _ended(state, settings, monitor.seconds, evaluated=True)
                    stopping = bool(stop) and not ended  # it may have come meanwhile
                    saving |= improved or stopping or bool(ended)
                if logging_:
                    monitor.log(state.step, metrics, settings.batch_size, device.memory())
            monitor.advance(state.step)
            if saving:
                monitor.flush()
                checkpoints.save(state, writer)
                saved = time.monotonic()
            if stopping:
                raise Interrupted(
                    f"stopped by {stop} after step {state.step}, which is saved. "
                    f"Continue with: {NAME} train --resume {run.folder}"
                )
            if ended:
                break
        seconds = monitor.seconds
    run.write_outcome(
        {
            "metric": config.checkpoint.metric,
            "mode": config.checkpoint.mode,
            **state.numbers(),
            "ended_by": ended,
            "seconds": seconds,
            "memory": device.memory(),
            "parameters": parameters,
            "train_examples": training.size,
        }
    )
    return state


def _ended(state: State, settings: TrainingConfig, seconds: float, *, evaluated: bool) -> str:
    """The setting by which the run is over after this step; empty if it goes on.

    Patience is looked at where the metric was, and after it, so that a run which is resumed ends at
    the step at which it would have ended anyway.
    """
    if state.step >= settings.max_steps:
        return "training.max_steps"
    if state.step and settings.max_minutes and seconds >= 60 * settings.max_minutes:
        return "training.max_minutes"
    evaluated &= state.step % settings.evaluate_every == 0
    if evaluated and 0 < settings.patience <= state.step - (state.best_step or 0):
        return "training.patience"
    return ""


def load_split(config: Config, split: Split) -> Dataset:
    """The examples of one split, with everything that is done to them; prepared if need be.

    Of the training split, the fraction that the config states; a smaller one is a subset of a
    larger.
    """
    dataset = Dataset(
        folder=prepare(config.data),
        split=split,
        prepare=transforms.prepare,
        augment=partial(transforms.augment, config=config.features) if split == "train" else None,
        seed=config.seed,
    )
    fraction = config.training.train_fraction
    if split != "train" or fraction == 1:
        return dataset
    rng = np.random.Generator(np.random.Philox(derive_seed(config.seed, "train_fraction")))
    kept = max(1, round(fraction * len(dataset)))
    return dataset.only(np.sort(rng.permutation(len(dataset))[:kept]))


def first_batches(dataset: Dataset, config: Config) -> Dataset:
    """Two batches of examples: what `--debug` evaluates."""
    size = min(2 * config.training.batch_size, len(dataset))
    return dataset.only(np.arange(size))


def require_trainable(config: Config, training: Dataset) -> None:
    """Find out before a run is made what would stop it in its first step.

    Raises:
        ConfigError: this machine doesn't have the device.
        DataError: a batch is larger than the split.
    """
    Device.choose(config.training)
    batch_order(config, training)
    assert training.shape, "opened, so that damage shows now"


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
    trained = [each for group in state.optimizer.param_groups for each in group["params"]]
    norm = nn.utils.clip_grad_norm_(trained, config.training.gradient_clip)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    return reduce(torch.add, total), norm


def build_network(config: Config, dataset: Dataset) -> Network:
    """The network for such examples, with weights drawn from the current random state."""
    return Network(config.model, dataset.shape, dataset.outputs)


def build_untrained(config: Config, training: Dataset, device: Device) -> Network:
    """The network as a run has it before its first step."""
    device.seed(derive_seed(config.seed, "weights"))
    model = build_network(config, training).to(device.name)
    look_at_data(model, training, config.training.batch_size)
    return model


def look_at_data(model: nn.Module, training: Dataset, batch_size: int) -> None:
    """Let a network that learns something from the data before the first step do so."""
    if isinstance(model, Learner):
        each = training.plain().in_order(batch_size)
        model.learn((inputs.numpy(), labels.numpy()) for inputs, labels in each)


@contextmanager
def _waiting_for(writer: CheckpointWriter) -> Generator[None]:
    """Leave when the last checkpoint is on the disk; what went wrong with it hides no cause."""
    try:
        yield
    except TrainingError as stopped:
        try:
            writer.wait()
        except CheckpointError as error:
            raise TrainingError(f"{stopped}\n{error}") from error
        raise
    except BaseException:
        writer.wait()
        raise
    writer.wait()


def _read(recent: list[tuple[Tensor, Tensor]]) -> list[list[float]]:
    """Loss and gradient norm of each step. Waits for the device, hence not in every step."""
    values = torch.stack([each for pair in recent for each in pair])
    return values.view(-1, 2).tolist()


def require_finite(
    metrics: Metrics, step: int, config: Config, run: Run, training: Dataset
) -> None:
    """Stop before a broken state overwrites a good one.

    Raises:
        TrainingError: a metric of this step, which counts from 1, is NaN or infinite.
    """
    broken = {name: value for name, value in metrics.items() if not math.isfinite(value)}
    if not broken:
        return
    said = ", ".join(f"{name} is {value}" for name, value in broken.items())
    rate = learning_rate(step - 1, config.training)
    if not any(name.startswith("train/") for name in broken):
        raise TrainingError(
            f"step {step}: {said}, with learning rate {rate:g}, though the losses of training are "
            "finite. The checkpoints are from before it. Look at the held-out records"
        )
    (key,) = batch_order(config, training).steps(step - 1, step)
    records = [training.ids[row] for row in key.indices]
    content = {"step": step, "found": said, "learning_rate": rate, "records": records}
    with suppress(OSError):  # the message has the first of them
        run.broken.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    shown = ", ".join(records[:8]) + (f" and {len(records) - 8} more" if len(records) > 8 else "")
    raise TrainingError(
        f"step {step}: {said}, with learning rate {rate:g} on the records {shown} "
        f"(all of them: {run.broken}). The checkpoints are from before it. Look at these records; "
        "or try a lower training.learning_rate or training.gradient_clip"
    )
