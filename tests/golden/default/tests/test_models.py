# The template's: updates improve this file and keep your edits.
"""What training and evaluation expect from your network and your loss."""

import pytest
import torch

from digits.config import Config
from digits.data.dataset import Dataset
from digits.models.network import Network, per_example_loss
from digits.training.loop import build_model


@pytest.fixture
def model(config: Config, train_set: Dataset) -> Network:
    return build_model(config, train_set, torch.device("cpu")).eval()


def test_predictions_have_the_shape_that_the_schema_says(model: Network, test_set: Dataset) -> None:
    inputs, targets = next(test_set.batches(3))
    predictions, schema = model.postprocess(model(inputs)), test_set.schema
    assert len(predictions) == 3
    assert predictions.isfinite().all()
    if schema.classes and targets.ndim == 1:
        assert predictions.shape == (3, len(schema.classes))


def test_the_loss_is_one_number_per_example_whatever_else_is_in_the_batch(
    model: Network, test_set: Dataset
) -> None:
    inputs, targets = next(test_set.batches(4))
    losses = per_example_loss(model(inputs), targets)
    assert losses.shape == (4,)
    alone = [per_example_loss(model(inputs[[row]]), targets[[row]]) for row in range(4)]
    torch.testing.assert_close(losses, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_a_gradient_reaches_each_parameter(model: Network, train_set: Dataset) -> None:
    """Within a few steps, since layers that are initialized to zero pass on nothing at first."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    missing = {name for name, weight in model.named_parameters() if weight.requires_grad}
    for inputs, targets in train_set.batches(8):
        per_example_loss(model(inputs), targets).mean().backward()
        for name, weight in model.named_parameters():
            if not weight.numel() or (weight.grad is not None and weight.grad.any()):
                missing.discard(name)
        optimizer.step()
        optimizer.zero_grad()
    assert missing == set()
