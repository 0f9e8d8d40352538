"""Where code trains: loops of torch, JAX and TensorFlow, and the calls that hide a loop."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from .resolve import Resolver
from .source import Function, Module, called, path_of, receiver

LIGHTNING = {"lightning", "pytorch_lightning", "lightning_fabric"}
KERAS = {"keras", "tensorflow", "tf_keras"}
TABLES = {"sklearn", "xgboost", "lightgbm", "catboost", "imblearn", "statsmodels"}
HUGGING_FACE = {"transformers", "trl", "sentence_transformers", "setfit", "peft"}
# Steps of scikit-learn that are fitted but don't train a model.
PREPARES = re.compile(
    r"scal|encod|vectori|tokeni|imput|pca|svd|normali|transform|binari|discreti|select|umap|tsne|kde|preproc",
    re.IGNORECASE,
)
OTHER_LOOPS = {
    "fit_one_cycle": "fastai", "fine_tune": "fastai", "fit_generator": "Keras",
    "train_on_batch": "Keras", "LightningCLI": "Lightning", "create_supervised_trainer": "Ignite",
}  # fmt: skip
CALLED_BY_FRAMEWORK = re.compile(
    r"^(training_step|train_step|validation_step|test_step|configure_optimizers|compute_loss)$"
)


@dataclass(frozen=True, eq=False)
class Training:
    """One call that updates weights, or that starts a framework's loop."""

    function: Function
    call: ast.Call
    kind: str

    @property
    def is_own_loop(self) -> bool:
        """Whether the loop is the project's code, so that it must seed, save and log itself."""
        return self.kind in OWN_LOOPS


OWN_LOOPS = {"PyTorch", "Accelerate", "Fabric", "DeepSpeed", "JAX", "TensorFlow"}


def imported_packages(module: Module) -> set[str]:
    """First parts of the names that a file imports."""
    return {each.module.partition(".")[0] for each in module.imports.values() if not each.level}


def find_training(resolver: Resolver, module: Module) -> list[Training]:
    """Calls of a file that train."""
    packages = imported_packages(module)
    found: list[Training] = []
    for function in module.functions:
        owner = resolver.owner(function)
        is_operation = owner and any(
            name.endswith("autograd.Function") for name in resolver.base_names(owner)
        )
        if is_operation or function.name == "backward":
            continue
        for call in function.all(ast.Call):
            if kind := kind_of(resolver, packages, function, call):
                found.append(Training(function, call, kind))
    return found


def kind_of(resolver: Resolver, packages: set[str], function: Function, call: ast.Call) -> str:
    """Framework whose training a call is, or ""."""
    name = called(call)
    if name in ("backward", "manual_backward") and isinstance(call.func, ast.Attribute):
        return kind_of_backward(packages, call, name)
    if name in ("apply_gradients", "apply_updates", "minimize"):
        return kind_of_update(packages, function.module.dotted(call.func), name)
    if name in ("grad", "value_and_grad"):
        dotted = function.module.dotted(call.func)
        is_update = (
            packages & {"optax", "flax", "haiku", "equinox"}
            or "optimizers" in function.module.imports
        )
        is_grad = dotted.startswith("jax.") or dotted.endswith("filter_value_and_grad")
        return "JAX" if is_grad and is_update else ""
    if name in ("filter_value_and_grad", "filter_grad"):
        return "JAX"
    if name in OTHER_LOOPS:
        hosts = {"fastai": {"fastai"}, "Keras": KERAS, "Lightning": LIGHTNING, "Ignite": {"ignite"}}
        return OTHER_LOOPS[name] if packages & hosts[OTHER_LOOPS[name]] else ""
    if name in ("fit", "train", "learn"):
        return kind_of_fit(resolver, packages, function, call, name)
    return ""


def kind_of_backward(packages: set[str], call: ast.Call, name: str) -> str:
    """Framework of a backward pass."""
    holder = receiver(call).lower()
    if name == "manual_backward":
        return "Lightning"
    if "fabric" in holder:
        return "Fabric"
    if "accelerator" in holder:
        return "Accelerate"
    if "deepspeed" in packages and call.args:
        return "DeepSpeed"
    return "PyTorch"


def kind_of_update(packages: set[str], dotted: str, name: str) -> str:
    """Framework of a parameter update outside of torch, or ""."""
    if name == "apply_updates":
        return "JAX" if dotted.startswith("optax") or packages & {"optax", "equinox", "jax"} else ""
    if packages & {"tensorflow", "keras"} and "jax" not in packages:
        return "TensorFlow"
    return "JAX" if name == "apply_gradients" and packages & {"jax", "flax", "optax"} else ""


def kind_of_fit(
    resolver: Resolver, packages: set[str], function: Function, call: ast.Call, name: str
) -> str:
    """`fit`, `train` or `learn` of an object, unless the object is this project's own."""
    holder = receiver(call)
    dotted = function.module.dotted(call.func)
    if dotted in ("xgboost.train", "lightgbm.train", "xgboost.cv", "lightgbm.cv"):
        return "scikit-learn"
    if resolver.callees(function, call):
        return ""
    makers: list[str] = []
    for cls, maker in resolver.constructors(function, holder) if holder else ():
        makers += resolver.base_names(cls) if cls else [maker]
    if (
        not holder
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Call)
    ):
        makers.append(function.module.dotted(call.func.value.func))
    for maker in makers:
        root, last = maker.partition(".")[0], maker.rpartition(".")[2]
        if name == "fit" and root in LIGHTNING and last.endswith("Trainer"):
            return "Lightning"
        if name == "train" and last.endswith("Trainer") and root in HUGGING_FACE:
            return "Hugging Face"
        if name == "fit" and root in KERAS:
            return "" if PREPARES.search(last) or last.endswith("Tokenizer") else "Keras"
        if name == "fit" and root in TABLES:
            is_step = re.search(r"preprocess|decomposition|feature_|impute|compose|manifold", maker)
            return "" if is_step or PREPARES.search(last) else "scikit-learn"
    if name == "learn":
        return "Stable-Baselines" if packages & {"stable_baselines3", "sb3_contrib"} else ""
    return kind_of_unknown(packages, call, name, holder, is_made=bool(makers))


def kind_of_unknown(
    packages: set[str], call: ast.Call, name: str, holder: str, is_made: bool
) -> str:
    """`fit` or `train` of an object that comes from elsewhere, by what the file imports."""
    if name == "train":
        is_trainer = holder.lower().endswith("trainer") and not call.args
        return "Hugging Face" if is_trainer and packages & HUGGING_FACE else ""
    if packages & LIGHTNING and "trainer" in path_of(call.func).lower():
        return "Lightning"
    if PREPARES.search(holder):
        return ""
    if packages & KERAS and len(call.args) + len(call.keywords) >= 2:
        return "Keras"
    if packages & TABLES and not is_made and len(call.args) >= 2:
        return "scikit-learn"
    return ""
