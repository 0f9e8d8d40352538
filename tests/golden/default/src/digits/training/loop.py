# The template's: updates improve this file and keep your edits.
"""The training loop. Read it from top to bottom; change what you like.

The batches, the augmentation and the dropout of a step follow from the seed and the number of the
step. So a checkpoint of the model and the optimizer is enough to resume exactly, and no random
generator is ever saved or restored.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ..config import Config
from ..data.dataset import Dataset
from ..data.loader import Batch, batch_keys, derive_seed, load_batches, part_keys
from ..errors import PROGRAM, Interrupted, RunError, TrainingError
from ..eval.evaluate import predict
from ..models.network import Network, per_example_loss
from . import device as processes
from .checkpoint import CheckpointManager, TrainState
from .device import autocast, peak_memory, seed_everything, select_device, to_device
from .logger import MetricsLogger
from .optimizer import build_optimizer, learning_rate, tree_sum
from .run import Run, StopRequest
from .writer import checkpoint_writer


def train(
    config: Config,
    run: Run,
    train_set: Dataset,
    validation_set: Dataset,
    stop: StopRequest | None = None,
) -> TrainState:
    """Train from the run's latest checkpoint, or from the beginning, to the last step.

    Args:
        config: all settings.
        run: where everything is written. The caller holds its lock.
        train_set: the examples to learn from.
        validation_set: the examples that select the best checkpoint.
        stop: becomes true when the run has to be interrupted.

    Raises:
        Interrupted: as requested; the state is saved.
        TrainingError: a loss isn't finite, or a checkpoint couldn't be written.
        RunError: the run has more steps already than it should.
    """
    training = config.training
    device = select_device(training)
    model = build_model(config, train_set, device)
    state = TrainState({"model": model}, build_optimizer(model, training))
    checkpoints = CheckpointManager(run.folder / "checkpoints", config.checkpoint)
    processes.restore(state, checkpoints)
    if state.step > training.max_steps:
        raise RunError(f"training.max_steps: {run.folder} has {state.step} steps already")
    if training.compile:
        # Not dynamic: after a resume, the first evaluation would run other kernels than later ones.
        model.compile(dynamic=False)

    # Workers are started before there are threads.
    size, batch_size = len(train_set), training.batch_size
    keys = batch_keys(size, batch_size, config.seed, state.step, training.max_steps)
    keys = part_keys(keys, training.parts, processes.our_parts(training.parts))
    parts = load_batches(train_set, keys, training.workers, stop)
    run.outcome_path.unlink(missing_ok=True)

    with MetricsLogger(run, config, state.step) as logger, checkpoint_writer() as write:
        if state.step == 0:
            adapt_model(model, train_set, config)
        pending: list[Tensor] = []  # losses and gradient norms, still on the device
        last_save = time.monotonic()
        # Even if its time is up, it takes another step when it hasn't been evaluated yet.
        _, seconds, _ = processes.agree(None, logger.seconds, 0)
        ended_by = stop_reason(state, config, seconds if state.best_step else 0)
        if state.step and state.step % training.evaluate_every == 0:  # it had ended when killed
            ended_by = ended_by or out_of_patience(state, config)

        while not ended_by:
            # One optimizer step.
            rate = learning_rate(state.step, training)
            for group in state.optimizer.param_groups:
                group["lr"] = rate
            pending += train_step(model, state, parts, device, config)
            state.step += 1

            # What is due after it? A signal may also arrive later: it then stops the next step.
            waited = time.monotonic() - last_save
            stopping, seconds, waited = processes.agree(stop, logger.seconds, waited)
            ended_by = stop_reason(state, config, seconds)
            evaluating = bool(ended_by) or state.step % training.evaluate_every == 0
            logging = evaluating or state.step % training.log_every == 0
            saving = bool(ended_by or stopping) or config.checkpoint.is_due(state.step, waited)
            metrics: dict[str, float] = {}

            if logging or saving:
                # Reading a loss waits for the device, so it isn't done in every step.
                values = torch.stack(pending).view(-1, 2).tolist()
                pending.clear()
                require_finite(values, state, config, run, train_set)
                metrics["train/loss"], metrics["train/gradient_norm"] = values[-1]
                metrics["train/learning_rate"] = rate

            if evaluating:
                metrics |= validation_metrics(model, validation_set, config, state.step)
                value = metrics[config.checkpoint.metric]
                improved = state.update_best(value, config.checkpoint.mode)
                ended_by = ended_by or out_of_patience(state, config)
                saving = saving or improved or bool(ended_by)

            if logging:
                logger.log(state.step, metrics, peak_memory(device), ended=bool(ended_by))

            if saving and processes.SAVES:
                logger.sync()
                checkpoints.save(state, write)
                last_save = time.monotonic()

            if stopping and not ended_by:
                raise Interrupted(
                    f"stopped by {stopping} after step {state.step}, which is saved. "
                    f"Continue with: {PROGRAM} train --resume {run.folder}"
                )

    outcome = {
        "metric": config.checkpoint.metric,
        "mode": config.checkpoint.mode,
        **state.progress(),
        "ended_by": ended_by,
        "seconds": logger.seconds,
        "memory": peak_memory(device),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "train_examples": train_set.size,
    }
    run.write("outcome.json", outcome)
    return state


def build_model(config: Config, train_set: Dataset, device: torch.device) -> Network:
    """With random weights, which depend on the seed alone."""
    seed_everything(derive_seed(config.seed, "weights"), device)
    model = Network(config.model, train_set.shape, train_set.schema.num_outputs)
    processes.distribute(model, device)
    return model.to(device)


def adapt_model(model: Network, train_set: Dataset, config: Config) -> None:
    """Let a model that has a method `adapt` learn its preprocessing from the training split.

    Such as means and standard deviations, which it keeps in buffers, and so in every checkpoint. A
    model without parameters, such as boosted trees, has then learned everything: see `stop_reason`.
    """
    if adapt := getattr(model, "adapt", None):
        adapt(replace(train_set, augmentation=None).batches(config.training.batch_size))


def validation_metrics(
    model: Network, validation_set: Dataset, config: Config, step: int
) -> dict[str, float]:
    """Those that are finite: a metric may be undefined for these examples.

    Raises:
        TrainingError: the one that selects the best checkpoint isn't finite.
    """
    values = predict(model, validation_set, config.training.batch_size).metrics()
    metrics = {f"validation/{name}": x for name, x in values.items() if math.isfinite(x)}
    if config.checkpoint.metric not in metrics:
        raise TrainingError(f"step {step}: {config.checkpoint.metric} isn't finite")
    return metrics


def load_best(config: Config, run: Run) -> tuple[Network, int]:
    """The model of a run's best checkpoint, and the step of that checkpoint.

    Raises:
        RunError: there is no checkpoint yet.
    """
    checkpoints = CheckpointManager(run.folder / "checkpoints", config.checkpoint)
    step = checkpoints.best()
    if step is None:
        raise RunError(f"no checkpoint yet; first: {PROGRAM} train --resume {run.folder}")
    recorded = run.read_provenance()
    model = Network(config.model, tuple(recorded["input_shape"]), recorded["num_outputs"])
    checkpoints.load_weights(step, model)
    return model.to(select_device(config.training)), step


def train_step(
    model: Network, state: TrainState, parts: Iterator[Batch], device: torch.device, config: Config
) -> tuple[Tensor, Tensor]:
    """One optimizer step on the next parts, which make a batch.

    The random numbers of a part follow from the seed, the step and the number of the part.

    Returns:
        The mean loss and the gradient norm, both on the device.
    """
    optimizer, n = state.optimizer, config.training.parts
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]

    def backward(part: int) -> Tensor:
        seed_everything(derive_seed(config.seed, "step", n * state.step + part), device)
        inputs, targets = (to_device(tensor, device) for tensor in next(parts))
        with autocast(device, config.training):
            loss = per_example_loss(model(inputs), targets).mean() / n
        if loss.requires_grad:  # the model has parameters
            loss.backward()
        return loss.detach()

    loss = tree_sum(backward, processes.our_parts(n), weights)
    loss, norm = processes.sum_and_clip(weights, loss, config.training.gradient_clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss, norm


def stop_reason(state: TrainState, config: Config, seconds: float) -> str:
    """The setting that ends the run before the next step, or "adapt", or an empty string."""
    training = config.training
    if state.step and not any(group["params"] for group in state.optimizer.param_groups):
        return "adapt"  # it was fitted at once: a run that is killed before begins again
    if state.step >= training.max_steps:
        return "training.max_steps"
    if training.max_minutes and state.step and seconds >= 60 * training.max_minutes:
        return "training.max_minutes"
    return ""


def out_of_patience(state: TrainState, config: Config) -> str:
    waited = state.step - (state.best_step or 0)
    return "training.patience" if 0 < config.training.patience <= waited else ""


def require_finite(
    values: list[list[float]], state: TrainState, config: Config, run: Run, train_set: Dataset
) -> None:
    """Stop before such a state is saved. The values are loss and gradient norm of the last steps.

    Raises:
        TrainingError: one isn't finite; nan_batch.json has the examples of that batch.
    """
    for step, (loss, norm) in enumerate(values, start=state.step - len(values)):
        if not (math.isfinite(loss) and math.isfinite(norm)):
            size, batch_size = len(train_set), config.training.batch_size
            (key,) = batch_keys(size, batch_size, config.seed, step, step + 1)
            ids = [train_set.ids[row] for row in key.rows]
            run.write("nan_batch.json", {"step": step + 1, "ids": ids})
            raise TrainingError(
                f"step {step + 1}: loss {loss}, gradient norm {norm}, with learning rate "
                f"{learning_rate(step, config.training):g}. nan_batch.json in {run.folder} has the "
                f"examples, the first is {ids[0]}; earlier checkpoints are intact. Look at the "
                "examples, or try a lower training.learning_rate or training.gradient_clip"
            )
