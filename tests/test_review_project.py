"""How `ml-architect review` reads a project: files, imports, entry points, settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ml_architect.review.checklist import answers
from ml_architect.review.checks import find
from ml_architect.review.project import Project, read_project
from ml_architect.review.rules import RULES
from ml_architect.review.source import Class


def project(folder: Path, **files: str) -> Project:
    """A project of the given files; `__` in a name stands for a slash."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/').replace('INIT', '__init__')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return read_project(folder)


def kinds(read: Project) -> dict[str, set[str]]:
    """Frameworks with which each entry point trains."""
    return {entry.module.path: {each.kind for each in entry.training} for entry in read.entries}


GUARD = '\n\nif __name__ == "__main__":\n    main()\n'
LOOP = """
def fit(model, optimizer, batches):
    for batch in batches:
        optimizer.zero_grad()
        model(batch).backward()
        optimizer.step()
"""
FRAMEWORKS = {
    "PyTorch": LOOP + "\n\ndef main():\n    fit(None, None, [])" + GUARD,
    "Lightning": "import lightning as L\n\n\ndef main():\n    L.Trainer().fit(None)" + GUARD,
    "Hugging Face": "from transformers import Trainer\n\n\ndef main():\n    trainer = "
    "Trainer()\n    trainer.train()" + GUARD,
    "Accelerate": "from accelerate import Accelerator\n\n\ndef main():\n    accelerator = "
    "Accelerator()\n"
    "    for loss in [1]:\n        accelerator.backward(loss)\n        optimizer.step()" + GUARD,
    "Fabric": "from lightning.fabric import Fabric\n\n\ndef main():\n    fabric = Fabric()\n"
    "    for loss in [1]:\n        fabric.backward(loss)\n        optimizer.step()" + GUARD,
    "DeepSpeed": "import deepspeed\n\n\ndef main():\n    engine = deepspeed.initialize()[0]\n"
    "    engine.backward(engine(1))\n    engine.step()" + GUARD,
    "JAX": "import jax\nimport optax\n\n\n@jax.jit\ndef step(params, updates):\n"
    "    return optax.apply_updates(params, updates)\n\n\ndef main():\n    step(1, 2)" + GUARD,
    "Keras": "from tensorflow import keras\n\n\ndef main():\n    model = "
    "keras.Sequential([])\n    model.fit([1], [2], epochs=5)" + GUARD,
    "TensorFlow": "import tensorflow as tf\n\n\ndef main():\n    optimizer = "
    "tf.keras.optimizers.Adam()\n"
    "    optimizer.apply_gradients([])" + GUARD,
    "scikit-learn": "from sklearn.svm import SVC\n\n\ndef main():\n    model = SVC()\n    "
    "model.fit([[1]], [2])" + GUARD,
}


@pytest.mark.parametrize("kind", FRAMEWORKS)
def test_an_entry_point_of_each_framework_is_found(kind: str, tmp_path: Path) -> None:
    assert kinds(project(tmp_path, train=FRAMEWORKS[kind])) == {"train.py": {kind}}


START = "from loop import fit\n\n"
STARTS = {
    "guard": START + '\nif __name__ == "__main__":\n    fit(None, None, [])\n',
    "script": START + "fit(None, None, [])\n",
    "hydra": "import hydra\n"
    + START
    + "\n@hydra.main(config_path='.')\ndef main(cfg):\n    fit(cfg, None, [])\n",
    "click": "import click\n"
    + START
    + "\n@click.command()\ndef main():\n    fit(None, None, [])\n",
    "typer": "import typer\n"
    + START
    + "app = typer.Typer()\n\n\n@app.command()\ndef main():\n    fit(None, None, [])\n"
    '\n\nif __name__ == "__main__":\n    app()\n',
    "fire": "import fire\n" + START + '\nif __name__ == "__main__":\n    fire.Fire(fit)\n',
    "absl": "from absl import app\n" + START + "\ndef main(argv):\n    fit(None, None, [])\n"
    '\n\nif __name__ == "__main__":\n    app.run(main)\n',
    "spawn": "import torch.multiprocessing as mp\n"
    + START
    + "\ndef worker(rank):\n    fit(None, None, [])\n"
    '\n\nif __name__ == "__main__":\n    mp.spawn(worker, nprocs=2)\n',
}


@pytest.mark.parametrize("how", STARTS)
def test_each_way_to_start_a_program_is_found(how: str, tmp_path: Path) -> None:
    assert kinds(project(tmp_path, train=STARTS[how], loop=LOOP)) == {"train.py": {"PyTorch"}}


def test_a_script_of_the_metadata_is_an_entry_point(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project.scripts]\nrun = "p.cli:main"\n', encoding="utf-8"
    )
    text = "from .loop import fit\n\n\ndef main():\n    fit(None, None, [])\n"
    read = project(
        tmp_path,
        src__p__cli=text,
        src__p__loop=LOOP,
        src__p__INIT="",
        src__p__other="from .cli import main\n",
    )
    assert kinds(read) == {"src/p/cli.py": {"PyTorch"}}


def test_the_loop_of_a_trainer_object_is_reached(tmp_path: Path) -> None:
    trainer = (
        "class Trainer:\n    def train(self):\n        for loss in []:\n            "
        "self.scaler(loss)\n"
    )
    trainer += "\n    def __init__(self):\n        self.scaler = Scaler()\n\n\nclass Scaler:\n"
    trainer += (
        "    def __call__(self, loss):\n        loss.backward()\n        self.optimizer.step()\n"
    )
    start = 'from engine import Trainer\n\nif __name__ == "__main__":\n    Trainer().train()\n'
    assert kinds(project(tmp_path, run=start, engine=trainer)) == {"run.py": {"PyTorch"}}


def test_a_loop_that_is_only_imported_does_not_train(tmp_path: Path) -> None:
    start = (
        'import loop\n\n\ndef main():\n    print(loop)\n\n\nif __name__ == "__main__":\n  '
        "  main()\n"
    )
    read = project(tmp_path, evaluate=start, loop=LOOP)
    assert kinds(read) == {"evaluate.py": set()}
    assert [each.function.name for each in read.unreached] == ["fit"]


def test_imports_by_a_computed_name_are_followed_by_their_start_or_named(tmp_path: Path) -> None:
    start = 'import importlib\nimport sys\n\nif __name__ == "__main__":\n'
    start += (
        '    importlib.import_module(f"models.{sys.argv[1]}").fit(None, None, [])\n    '
        "importlib.import_module(sys.argv[2])\n"
    )
    read = project(tmp_path, run=start, models__small=LOOP, models__INIT="")
    (entry,) = read.entries
    assert "models/small.py" in {module.path for module in entry.closure}
    assert [(place.path, place.line) for place in entry.unfollowed] == [("run.py", 6)]


def test_classes_fetched_by_a_computed_name_are_reached(tmp_path: Path) -> None:
    start = (
        'import sys\n\nimport engines\n\nif __name__ == "__main__":\n    getattr(engines, '
        "sys.argv[1])().train()\n"
    )
    engines = (
        "class Adversarial:\n    def train(self):\n        self.loss.backward()\n       "
        " self.optimizer.step()\n"
    )
    assert kinds(project(tmp_path, run=start, engines=engines)) == {"run.py": {"PyTorch"}}


def test_imports_resolve_by_package_folder_and_script(tmp_path: Path) -> None:
    read = project(
        tmp_path,
        src__p__INIT="from .core import Net\n",
        src__p__core="class Net: ...\n",
        a__run="from p import Net\nfrom helper import x\n",
        a__helper="x = 1\n",
        b__helper="x = 2\n",
    )
    (run,) = [module for module in read.modules if module.path == "a/run.py"]
    paths = {module.path for module in read.resolver.closure(run)}
    assert paths == {"a/run.py", "a/helper.py", "src/p/__init__.py", "src/p/core.py"}
    symbol = read.resolver.symbol(run, "Net")
    assert isinstance(symbol, Class)
    assert symbol.module.path == "src/p/core.py"


def test_a_notebook_is_read_without_magics_and_its_places_are_those_of_cell_and_file(
    tmp_path: Path,
) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["text"]},
        {
            "cell_type": "code",
            "source": ["%matplotlib inline\n", "!pip install \\\n", "    torch\n", "x = !ls\n"],
            "outputs": [],
        },
        {"cell_type": "code", "source": ["%%bash\n", "ls -l\n"], "outputs": []},
        {"cell_type": "code", "source": ["this is no Python"], "outputs": []},
        {
            "cell_type": "code",
            "source": ["for loss in [1]:\n", "    loss.backward()\n", "    optimizer.step()\n"],
            "outputs": [],
        },
    ]
    path = tmp_path / "train.ipynb"
    path.write_text(json.dumps({"cells": cells, "nbformat": 4}, indent=1), encoding="utf-8")
    read = read_project(tmp_path)
    (entry,) = read.training_entries
    place = entry.module.place(entry.training[0].call)
    assert "loss.backward()" in path.read_text(encoding="utf-8").splitlines()[place.line - 1]
    assert str(place) == "train.ipynb, cell 5, line 2"
    assert [each.reason for each in read.unread] == [
        "1 of 4 code cells can't be parsed; the others were read"
    ]


def test_files_that_cannot_be_parsed_are_named_and_the_review_goes_on(tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes("name = 'é'\n".encode("latin-1"))
    (tmp_path / "declared.py").write_bytes("# coding: latin-1\nname = 'é'\n".encode("latin-1"))
    (tmp_path / "zero.py").write_bytes(b"a = 1\x00\n")
    (tmp_path / "huge.py").write_text("x = 'aaaaaaaaaaaaaaaa'\n" * 50_000, encoding="utf-8")
    (tmp_path / "deep.py").write_text("x = " + "(" * 5000 + ")" * 5000, encoding="utf-8")
    notebooks = {
        "old": b"{}",
        "half": b"{",
        "list": b"[]",
        "number": b'{"cells": 3}',
        "bytes": b"\xff",
    }
    for name, content in notebooks.items():
        (tmp_path / f"{name}.ipynb").write_bytes(content)
    (tmp_path / "circle").symlink_to(tmp_path)
    read = project(tmp_path, two="print 'hello'\n", broken="def f(:\n", good="x = 1\n")
    reasons = {each.path: each.reason for each in read.unread}
    assert sorted(module.path for module in read.modules) == ["declared.py", "good.py"]
    assert reasons["two.py"] == "Python 2 syntax on line 1"
    assert reasons["broken.py"].startswith("syntax error")
    assert "UTF-8" in reasons["latin.py"]
    assert "larger than" in reasons["huge.py"]
    names = {f"{name}.py" for name in ("broken", "deep", "huge", "latin", "two", "zero")}
    assert set(reasons) == names | {f"{name}.ipynb" for name in notebooks}
    assert all("\n" not in reason for reason in reasons.values())


def test_environments_builds_and_hidden_folders_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "pyvenv.cfg").touch()
    read = project(
        tmp_path,
        mine__lib__x="",
        **{".hidden__x": "", "build__x": "", "node_modules__x": ""},
        kept="",
    )
    assert [module.path for module in read.all_modules] == ["kept.py"]


def test_tests_are_not_reviewed_but_evaluation_scripts_called_test_are(tmp_path: Path) -> None:
    read = project(
        tmp_path,
        tests__test_a="def test_a(): ...\n",
        test_model="import pytest\n",
        test_classification="def test(model): ...\n",
        benchmark="",
    )
    assert [module.path for module in read.modules] == ["test_classification.py"]


@pytest.mark.parametrize(
    ("name", "text", "may_refuse"),
    [
        ("requirements.txt", "torch==1.13.1\n", False),
        ("requirements.txt", "torch>=2.0\n", True),
        ("requirements.txt", "torchvision==0.9\n", True),
        ("pyproject.toml", '[project]\ndependencies = ["torch<2.6"]\n', False),
        ("setup.cfg", "[options]\ninstall_requires =\n    torch<2\n", False),
        (
            "setup.py",
            'from setuptools import setup\nsetup(install_requires=["torch<2.5"])\n',
            False,
        ),
        ("environment.yml", "dependencies:\n  - pytorch=1.12\n", False),
        ("env.cpu.yml", "dependencies:\n  - pip\n  - pytorch::pytorch=1.8.1=py3.8_0\n", False),
        ("env.yml", "torch: 1.8\nseed: 3\n", True),  # settings of an environment
    ],
)
def test_the_bound_of_torch_is_read(name: str, text: str, may_refuse: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_project(tmp_path).metadata.torch_may_refuse is may_refuse


def test_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("trainer: &a\n  epochs: 3\nother: *a\n", encoding="utf-8")
    (tmp_path / "evil.yaml").write_text(
        "!!python/object/apply:os.system ['true']\n", encoding="utf-8"
    )
    read = read_project(tmp_path)
    assert [(each.key, each.value) for each in read.metadata.settings] == [("trainer.epochs", 3)]


def test_every_item_of_the_checklist_is_answered_even_for_nothing(tmp_path: Path) -> None:
    for read in (read_project(tmp_path), project(tmp_path, train=FRAMEWORKS["PyTorch"])):
        listed = answers(read, find(read, RULES.values()))
        assert len(listed) == 8
        assert all(each.text and each.searched for each in listed)
    empty = [each.kind for each in answers(Project(tmp_path, [], [], read.metadata), [])]
    assert set(empty) == {"question", "coverage"}
