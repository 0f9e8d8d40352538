# The template's: updates improve this file and keep your edits.
"""Gradient boosting as a model of this project: fitted by scikit-learn, kept in buffers.

So it is saved without pickle, evaluated, exported and compared like a network. On tables, boosted
trees are hard to beat (https://arxiv.org/abs/2207.08815).

Shapes: B rows in a batch, C inputs per row, V categories per input, T iterations, K outputs, N
nodes per tree.
"""

from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from torch import Tensor, nn

from ..data.validation import Array

MAX_DEPTH = 12
MAX_NODES = 61  # of a tree with 31 leaves, scikit-learn's default
MAX_CATEGORIES = 254  # per input; its histograms have no more bins
ABSENT = -30.0  # the logit of a class without training examples


class BoostedTrees(nn.Module):
    """Histogram gradient boosting with scikit-learn's defaults, but for the depth.

    Args:
        num_inputs: C.
        num_outputs: number of classes; or 1 to predict a number.
        iterations: T, at most. A random tenth of the training rows stops it earlier.
    """

    def __init__(self, num_inputs: int, num_outputs: int, iterations: int) -> None:
        super().__init__()
        self.num_outputs, self.iterations = num_outputs, iterations
        self.seed = int(torch.randint(2**31, ()))  # from the run's seed, as initial weights are
        nodes = (iterations, num_outputs, MAX_NODES)
        # The hashes of each input's known categories, ascending; infinity where there are fewer.
        self.known_CV = nn.Buffer(torch.full((num_inputs, MAX_CATEGORIES), torch.inf))
        self.baseline_K = nn.Buffer(torch.zeros(num_outputs))
        self.input = nn.Buffer(torch.zeros(nodes, dtype=torch.int64))
        self.threshold = nn.Buffer(torch.zeros(nodes))
        self.missing_left = nn.Buffer(torch.zeros(nodes, dtype=torch.bool))
        self.is_category = nn.Buffer(torch.zeros(nodes, dtype=torch.bool))
        self.categories_left = nn.Buffer(torch.zeros((*nodes, 8), dtype=torch.int32))  # 256 bits
        self.child = nn.Buffer(torch.zeros((*nodes, 2), dtype=torch.int64))  # a leaf's: itself
        self.value = nn.Buffer(torch.zeros(nodes))

    def fit(self, x_BC2: Tensor, targets_B: Tensor, *, balanced: bool = False) -> None:
        """Learn from all rows at once.

        Args:
            x_BC2: the training rows; a number and a category, of which one or both are NaN.
            targets_B: class indices, or numbers.
            balanced: whether each class weighs as much as any other.
        """
        targets = targets_B.numpy()
        rng = np.random.default_rng(self.seed)
        is_held_out = rng.random(len(targets)) < 0.1
        if self.num_outputs > 1:  # those of a class that would have no other rows are needed
            is_held_out &= np.isin(targets, targets[~is_held_out])
            present = np.unique(targets)
            self.baseline_K.fill_(ABSENT)[present] = 0.0
            if len(present) < 2:
                return
        self._learn_categories(x_BC2[~torch.from_numpy(is_held_out), :, 1])

        # scikit-learn wants the categorical inputs first.
        is_categorical = self.known_CV[:, 0].isfinite().numpy()
        order = np.argsort(~is_categorical, kind="stable")
        x = self.select_values(x_BC2).numpy()[:, order]
        settings: dict[str, Any] = {
            "max_iter": self.iterations,
            "max_depth": MAX_DEPTH,
            "categorical_features": range(is_categorical.sum()),
            "early_stopping": bool(is_held_out.any()),
            "random_state": self.seed,
        }
        model: Any = HistGradientBoostingRegressor(**settings)
        if self.num_outputs > 1:
            weight = "balanced" if balanced else None
            model = HistGradientBoostingClassifier(**settings, class_weight=weight)
        held_out = {"X_val": x[is_held_out], "y_val": targets[is_held_out]}
        model.fit(x[~is_held_out], targets[~is_held_out], **(held_out if is_held_out.any() else {}))

        # Of two classes, there are trees for the second only.
        outputs = model.classes_ if self.num_outputs > 1 else np.zeros(1, dtype=np.int64)
        outputs = outputs[1:] if len(outputs) == 2 else outputs
        self.baseline_K[outputs] = torch.from_numpy(model._baseline_prediction[0]).float()
        for iteration, trees in enumerate(model._predictors):
            for output, tree in zip(outputs, trees, strict=True):
                self._copy(tree, (iteration, int(output)), order)

    def _learn_categories(self, categories_BC: Tensor) -> None:
        """The most frequent ones of each input; the others are treated as missing."""
        for known_V, column in zip(self.known_CV, categories_BC.unbind(dim=1), strict=True):
            values, counts = column[~column.isnan()].unique(return_counts=True)
            frequent = counts.argsort(descending=True, stable=True)[:MAX_CATEGORIES]
            known_V[: len(frequent)] = values[frequent].sort().values

    def _copy(self, tree: Any, place: tuple[int, int], order: Array) -> None:
        """From scikit-learn's nodes, where shap finds them as well."""
        nodes = tree.nodes
        itself = np.arange(len(nodes))
        # Inputs are float32. The largest one that isn't above the threshold decides the same.
        threshold = nodes["num_threshold"].astype(np.float32)
        below = np.nextafter(threshold, np.float32(-np.inf))
        threshold = np.where(threshold > nodes["num_threshold"], below, threshold)
        is_leaf, is_category = nodes["is_leaf"] == 1, nodes["is_categorical"] == 1
        bits = np.zeros((len(nodes), 8), dtype=np.uint32)
        bits[is_category] = tree.raw_left_cat_bitsets[nodes["bitset_idx"][is_category]]
        children = np.stack([nodes["left"], nodes["right"]], axis=1).astype(np.int64)
        for buffer, values in (
            (self.input, order[nodes["feature_idx"]]),
            (self.threshold, threshold),
            (self.missing_left, nodes["missing_go_to_left"] == 1),
            (self.is_category, is_category),
            (self.categories_left, bits.view(np.int32)),
            (self.child, np.where(is_leaf[:, None], itself[:, None], children)),
            (self.value, nodes["value"]),
        ):
            buffer[place][: len(nodes)] = torch.from_numpy(values)

    def select_values(self, x_BC2: Tensor) -> Tensor:
        """The number of each input, or the index of its category: (B, C)."""
        number_BC, category_BC = x_BC2.unbind(dim=2)
        index_CB = torch.searchsorted(self.known_CV, category_BC.T.contiguous())
        index_CB = index_CB.clamp(max=MAX_CATEGORIES - 1)
        is_known_BC = (self.known_CV.gather(1, index_CB) == category_BC.T).T
        return torch.where(is_known_BC, index_CB.T.to(number_BC.dtype), number_BC)

    def forward(self, x_BC2: Tensor) -> Tensor:
        """Logits of the classes, or the predicted number: (B, K)."""
        values_BC = self.select_values(x_BC2)
        tree = torch.arange(self.value[..., 0].numel(), device=x_BC2.device)
        root_T = MAX_NODES * tree  # of all trees in a row
        node_BT = root_T.expand(x_BC2.shape[0], -1)
        for _ in range(MAX_DEPTH):
            value_BT = values_BC.gather(1, self.input.flatten()[node_BT])
            code_BT = value_BT.nan_to_num(0).clamp(0, 255).int()
            word_BT = self.categories_left.flatten()[8 * node_BT + code_BT // 32]
            is_left_BT = torch.where(
                self.is_category.flatten()[node_BT],
                (word_BT >> (code_BT % 32)) & 1 == 1,
                value_BT <= self.threshold.flatten()[node_BT],
            )
            missing_left_BT = self.missing_left.flatten()[node_BT]
            is_left_BT = torch.where(value_BT.isnan(), missing_left_BT, is_left_BT)
            child_BT = torch.where(is_left_BT, 2 * node_BT, 2 * node_BT + 1)
            node_BT = root_T + self.child.flatten()[child_BT]
        leaves_BTK = self.value.flatten()[node_BT].unflatten(1, (self.iterations, -1))
        return self.baseline_K + leaves_BTK.sum(dim=1)
