# The template's: updates improve this file and keep your edits.
from __future__ import annotations

import numpy as np
import pytest

from iris.eval.evaluate import Predictions


def test_confusion_accuracy_and_mistakes_agree() -> None:
    found = Predictions(
        labels=np.array([0, 0, 1, 1]),
        probabilities=np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]]),
        losses=np.array([0.1, 1.6, 0.5, 1.2]),
    )
    assert found.confusion().tolist() == [[1, 1], [1, 1]]
    assert found.accuracy == 0.5
    assert found.worst_mistakes(9).tolist() == [1, 3]
    assert found.summary()["accuracy"] == "50.00% (95 % CI 0.00% to 100.00%)"


def test_skill_is_zero_for_a_guess_by_frequency_and_one_for_certainty() -> None:
    labels = np.array([0, 0, 0, 1])
    guess = np.tile(np.array([0.75, 0.25]), (4, 1))
    nothing = np.zeros(4)
    assert Predictions(labels, np.eye(2)[labels], nothing).skill(labels) == pytest.approx(1)
    assert Predictions(labels, guess, nothing).skill(labels) <= 0
