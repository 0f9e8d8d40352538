"""What training a language model costs on many GPUs, estimated before anything is bought.

Each constant can be replaced by a measurement. With many GPUs, two costs dominate: communication of
gradients, and the time lost to checkpoints and failures.
A training on paper. Seconds, bytes, tokens.=>A planned training. Seconds, bytes, tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from ..errors import CommandError


def _constant(default: float, unit: str, source: str) -> float:
    return field(default=default, metadata={"unit": unit, "source": source})


@dataclass(frozen=True, kw_only=True)
class Constants:
    """Of the machines and of the training. Each is an option of `ml-architect plan`."""

    peak_flops: float = _constant(
        989e12, "FLOP/s per GPU", "H100 SXM, bfloat16, dense: NVIDIA's data sheet"
    )
    utilization: float = _constant(0.40, "of the peak", "Llama 3 reports 38 to 43 %")
    flops_per_token: float = _constant(6, "FLOP per weight", "forward and backward pass")
    gpus_per_node: float = _constant(8, "GPUs", "DGX H100")
    gpu_memory: float = _constant(80e9, "bytes", "H100 SXM")
    usable_memory: float = _constant(
        0.75, "of the memory", "assumption: the rest is for activations and buffers"
    )
    node_bandwidth: float = _constant(
        360e9, "bytes/s per GPU", "assumption: collectives over NVLink in a node"
    )
    network_bandwidth: float = _constant(
        40e9, "bytes/s per GPU", "assumption: 80 % of 400 Gb/s, the network of Llama 3"
    )
    gradient_bytes: float = _constant(4, "bytes per weight", "float32")
    training_bytes: float = _constant(
        16, "bytes per weight", "float32 weights, gradients, and the two moments of AdamW"
    )
    checkpoint_bytes: float = _constant(12, "bytes per weight", "the same without gradients")
    write_speed: float = _constant(
        1e9, "bytes/s per node", "assumption; with a checksum, one core reached 0.3e9"
    )
    hours_per_failure: float = _constant(
        50_677, "GPU-hours", "Llama 3: 419 in 54 days of 16,384 GPUs"
    )
    restart_seconds: float = _constant(
        300, "seconds", "assumption: queue, imports, reading, compiling"
    )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A training on paper. Seconds, bytes, tokens."""

    model_parameters: float
    gpus: int
    tokens_per_step: float
    constants: Constants = Constants()

    def __post_init__(self) -> None:
        """Reject what can't be estimated.

        Raises:
            CommandError: with the option's name.
        """
        per_node = int(self.constants.gpus_per_node)
        if self.gpus > per_node and self.gpus % per_node:
            raise CommandError(
                f"--gpus {self.gpus}: expected at most {per_node}, or whole nodes: a multiple of "
                f"{per_node} (--gpus-per-node)"
            )
        for name in ("utilization", "usable_memory"):
            if getattr(self.constants, name) > 1:
                raise CommandError(
                    f"--{name.replace('_', '-')} {getattr(self.constants, name):g}: expected a "
                    "fraction of at most 1"
                )

    @property
    def nodes(self) -> int:
        """Machines."""
        return math.ceil(self.gpus / self.constants.gpus_per_node)

    @property
    def compute(self) -> float:
        """Seconds of a step without communication."""
        constants = self.constants
        flops = constants.flops_per_token * self.model_parameters * self.tokens_per_step
        return flops / (constants.peak_flops * constants.utilization * self.gpus)

    @property
    def all_reduce(self) -> float:
        """Seconds: a ring in each node, then one between the nodes for each GPU's part."""
        constants = self.constants
        size = constants.gradient_bytes * self.model_parameters
        inside = min(self.gpus, constants.gpus_per_node)
        seconds = 2 * size * (inside - 1) / inside / constants.node_bandwidth
        between = 2 * size / inside * (self.nodes - 1) / self.nodes
        return seconds + between / constants.network_bandwidth

    @property
    def flat_fixed_order(self) -> float:
        """Seconds of a sum in a fixed order by one all-to-all between all GPUs."""
        if self.nodes == 1:
            return self.all_reduce
        constants = self.constants
        size = constants.gradient_bytes * self.model_parameters
        inside = constants.gpus_per_node
        between = size * (1 + 1 / inside) * (self.nodes - 1) / self.nodes
        seconds = size * (inside - 1) / inside / constants.node_bandwidth
        return seconds + between / constants.network_bandwidth

    def share(self, communication: float) -> float:
        """Fraction of a step's time, without overlap."""
        return communication / (communication + self.compute)

    def memory(self, is_sharded: bool) -> float:
        """Bytes on each GPU, without activations."""
        whole = self.constants.training_bytes * self.model_parameters
        return whole / self.gpus if is_sharded else whole

    def fits(self, is_sharded: bool) -> bool:
        """Whether weights, gradients and optimizer leave enough memory for the rest."""
        usable = self.constants.gpu_memory * self.constants.usable_memory
        return self.memory(is_sharded) <= usable

    @property
    def checkpoint(self) -> float:
        """Bytes."""
        return self.constants.checkpoint_bytes * self.model_parameters

    def stall(self, is_sharded: bool) -> float:
        """Seconds that training waits for a checkpoint, by one process or by every node."""
        writers = self.nodes if is_sharded else 1
        return self.checkpoint / (self.constants.write_speed * writers)

    @property
    def between_failures(self) -> float:
        """Seconds."""
        return 3600 * self.constants.hours_per_failure / self.gpus

    def interval(self, stall: float) -> float:
        """Seconds between checkpoints for which the least time is lost: Young 1974."""
        return math.sqrt(2 * stall * self.between_failures)

    def lost(self, stall: float) -> float:
        """Fraction of the time: checkpoints, and half an interval and a restart per failure."""
        interval = self.interval(stall)
        redone = interval / 2 + self.constants.restart_seconds
        return stall / interval + redone / self.between_failures

    def tokens_for_share(self, share: float) -> float:
        """Tokens per GPU and step at which communication takes this fraction of the time.

        It doesn't depend on the size of the model, of which both times are multiples.
        """
        per_token = self.compute * self.gpus / self.tokens_per_step
        return self.all_reduce * (1 - share) / share / per_token

    def gpus_for_share(self, share: float) -> int:
        """Largest number of GPUs, in whole nodes, with at most this fraction of communication."""
        per_node = int(self.constants.gpus_per_node)
        nodes = 1
        for exponent in range(30, -1, -1):
            more = nodes + 2**exponent
            larger = Plan(
                model_parameters=self.model_parameters,
                gpus=more * per_node,
                tokens_per_step=self.tokens_per_step,
                constants=self.constants,
            )
            if larger.share(larger.all_reduce) <= share:
                nodes = more
        return nodes * per_node


def describe(plan: Plan) -> str:
    """The plan in lines."""
    step = plan.compute + plan.all_reduce
    machines = f"{_plural(plan.gpus, 'GPU')} in {_plural(plan.nodes, 'node')}"
    lines = [
        f"An estimate, not a measurement: {_number(plan.model_parameters)} weights, "
        f"{machines}, {_number(plan.tokens_per_step)} tokens per step.",
        "",
        *_rows(
            {
                "tokens per second": _number(plan.tokens_per_step / step),
                "time per step": f"{step:.3g} s",
                "all-reduce of gradients": _communication(plan, plan.all_reduce),
                "sum in a fixed order": "the same if each node is summed first; in one all-to-all "
                + _communication(plan, plan.flat_fixed_order),
                "memory per GPU (ddp)": _memory(plan, False),
                "memory per GPU (fsdp)": _memory(plan, True),
                "time between failures": _duration(plan.between_failures),
                "checkpoint": f"{plan.checkpoint / 1e9:.3g} GB",
                "written by one process": _checkpoints(plan, False),
                "written by each node": _checkpoints(plan, True),
            }
        ),
        "",
        _scaling(plan),
    ]
    if not plan.fits(False):
        twice = 2 * plan.all_reduce
        lines.append(
            "fsdp also gathers the weights, about as many bytes again: communication is closer to "
            f"{_communication(plan, twice)}."
        )
    if not plan.fits(True):
        lines.append("It doesn't fit: use more GPUs or a smaller model.")
    lines += ["", "No overlap is assumed, so communication is an upper bound. The constants:", ""]
    lines += _rows(
        {
            f"--{constant.name.replace('_', '-')} {getattr(plan.constants, constant.name):g}": (
                f"{constant.metadata['unit']}; {constant.metadata['source']}"
                if getattr(plan.constants, constant.name) == constant.default
                else f"{constant.metadata['unit']}; given"
            )
            for constant in fields(Constants)
        }
    )
    return "\n".join(lines)


def _scaling(plan: Plan) -> str:
    end = plan.gpus_for_share(1 / 3)
    tokens = plan.tokens_per_step / plan.gpus
    advice = (
        f"Strong scaling ends at about {end} GPUs for this many tokens per step: beyond that, "
        "communication takes over a third of the time. Here each GPU has "
        f"{_number(tokens)} tokens per step"
    )
    if plan.nodes == 1:
        return f"{advice}."
    limits = [_number(plan.tokens_for_share(share)) for share in (1 / 3, 1 / 4)]
    return f"{advice}; a third is reached below {limits[0]}, a quarter below {limits[1]}."


def _rows(cells: dict[str, str]) -> list[str]:
    width = max(map(len, cells))
    return [f"  {name:{width}}  {text}" for name, text in cells.items()]


def _plural(count: int, name: str) -> str:
    return f"{count} {name}{'s' * (count != 1)}"


def _number(value: float) -> str:
    """Such as 1.784 million."""
    for limit, unit in ((1e9, "billion"), (1e6, "million")):
        if value >= limit:
            return f"{value / limit:.4g} {unit}"
    return f"{value:,.0f}"


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.2g} s"


def _communication(plan: Plan, seconds: float) -> str:
    return f"{seconds:.2g} s, {plan.share(seconds):.0%} of a step"


def _memory(plan: Plan, is_sharded: bool) -> str:
    usable = plan.constants.gpu_memory * plan.constants.usable_memory
    fits = "fits" if plan.fits(is_sharded) else "doesn't fit"
    return f"{plan.memory(is_sharded) / 1e9:.3g} GB, {fits} into {usable / 1e9:.3g} GB"


def _checkpoints(plan: Plan, is_sharded: bool) -> str:
    stall = plan.stall(is_sharded)
    if (lost := plan.lost(stall)) >= 1:
        return f"{_duration(stall)} each; no progress: failures come faster than checkpoints"
    every = _duration(plan.interval(stall))
    return f"{_duration(stall)} each; best every {every}; {lost:.2%} of the time lost"
