"""What ruff finds for a review, under our ids and in our words."""

from __future__ import annotations

from .findings import Category, Rule, Stage

RULES: dict[str, Rule] = {
    "F821": Rule(
        id="ML301",
        title="A name that is defined nowhere",
        category=Category.WRONG_RESULT,
        stage=Stage.EXPLORATION,
        why="Python looks a name up when the line runs. A branch that is rarely taken, such as the "
        "end of training, then stops with a NameError after hours.",
        source="https://docs.python.org/3/reference/executionmodel.html#naming-and-binding",
        fix="Import or define the name, or correct its spelling.",
        verify="Run the branch in a test, and the review again.",
        bad="def average(losses):\n    return sum(losses) / len(loses)\n",
        good="def average(losses):\n    return sum(losses) / len(losses)\n",
        lines_to_fix=1,
        is_default=False,
    ),
    "B023": Rule(
        id="ML302",
        title="A function that is kept reads the loop's variable later",
        category=Category.WRONG_RESULT,
        stage=Stage.EXPLORATION,
        why="The function looks the variable up when it is called. After the loop, all of them see "
        "the last value, for example one layer's name for the hooks of every layer.",
        source="https://docs.python.org/3/faq/programming.html#why-do-lambdas-defined-in-a-loop-with-different-values-all-return-the-same-result",
        fix="Bind the value when the function is made: a default argument, or functools.partial.",
        verify="Call the functions after the loop; each has to give its own value.",
        bad="scales = []\nfor factor in (1, 2, 3):\n    scales.append(lambda x: x * factor)\n",
        good="scales = []\nfor factor in (1, 2, 3):\n"
        "    scales.append(lambda x, factor=factor: x * factor)\n",
        lines_to_fix=1,
        is_default=False,
    ),
    "B006": Rule(
        id="ML303",
        title="A default argument is changed",
        category=Category.WRONG_RESULT,
        stage=Stage.PROTOTYPE,
        why="The default is made once. What one call appends, the next call still has, so a second "
        "evaluation in the same process counts the examples of the first.",
        source="https://docs.python.org/3/faq/programming.html#why-are-default-values-shared-between-objects",
        fix="Use None, and make the list or dictionary in the function.",
        verify="Call the function twice; the second result has to equal the first.",
        bad="def collect(loss, losses=[]):\n    losses.append(loss)\n    return losses\n",
        good="def collect(loss, losses=None):\n    losses = [] if losses is None else losses\n"
        "    losses.append(loss)\n    return losses\n",
        lines_to_fix=2,
        is_default=False,
    ),
    "E722": Rule(
        id="ML304",
        title="`except:` catches everything",
        category=Category.HYGIENE,
        stage=Stage.PROTOTYPE,
        why="It also catches Ctrl-C, a mistyped name and a checkpoint that can't be read; the "
        "program goes on, for example from step 0, and nobody learns why.",
        source="https://peps.python.org/pep-0008/#programming-recommendations",
        fix="Name the exception that is expected, such as FileNotFoundError.",
        verify="Give the block a damaged file: the error has to be shown.",
        bad='try:\n    state = open("last.pt", "rb").read()\nexcept:\n    state = None\n',
        good='from pathlib import Path\n\ntry:\n    state = Path("last.pt").read_bytes()\n'
        "except FileNotFoundError:\n    state = None\n",
        lines_to_fix=1,
        is_default=False,
    ),
    "S110": Rule(
        id="ML305",
        title="An exception is dropped without a trace",
        category=Category.HYGIENE,
        stage=Stage.PROTOTYPE,
        why="`except Exception: pass` hides faults of the data and of the code alike: examples are "
        "skipped, files aren't written, and the log says nothing.",
        source="https://docs.python.org/3/tutorial/errors.html#handling-exceptions",
        fix="Name the exception that is expected, or log it.",
        verify="Provoke the error: it has to appear in the log.",
        bad="def save(write):\n    try:\n        write()\n    except Exception:\n        pass\n",
        good="import logging\n\n\ndef save(write):\n    try:\n        write()\n"
        '    except OSError:\n        logging.exception("not saved")\n',
        lines_to_fix=2,
        is_default=False,
    ),
    "SIM115": Rule(
        id="ML306",
        title="A file is opened and not closed by `with`",
        category=Category.MEMORY_AND_SPEED,
        stage=Stage.PRODUCTION,
        why="Without `with`, an exception leaves it open and what was written may stay in the "
        "buffer. In a dataset, open files add up until the system's limit.",
        source="https://docs.python.org/3/tutorial/inputoutput.html#reading-and-writing-files",
        fix="Open it in a `with` statement, or use Path.read_text and Path.write_text.",
        verify="Run with `python -X dev`: no ResourceWarning.",
        bad="def labels(path):\n    file = open(path)\n    return file.read().split()\n",
        good="def labels(path):\n    with open(path) as file:\n"
        "        return file.read().split()\n",
        lines_to_fix=2,
        is_default=False,
    ),
    "S301": Rule(
        id="ML307",
        title="A pickle is loaded",
        category=Category.HYGIENE,
        stage=Stage.PRODUCTION,
        why="Loading a pickle runs whatever code its author put in it.",
        source="https://docs.python.org/3/library/pickle.html",
        fix="Store arrays as .npy or safetensors and settings as JSON. If it has to be a pickle, "
        "check a digest of the file that you keep elsewhere.",
        verify="Load a file that the new code has written, and compare it with the original.",
        bad="import pickle\n\n\ndef vocabulary(file):\n    return pickle.load(file)\n",
        good="import json\n\n\ndef vocabulary(file):\n    return json.load(file)\n",
        lines_to_fix=4,
        is_default=False,
    ),
    "S307": Rule(
        id="ML308",
        title="`eval` of a text",
        category=Category.HYGIENE,
        stage=Stage.PRODUCTION,
        why="A text from a config or an argument runs as code; a mistyped one fails far from its "
        "cause.",
        source="https://docs.python.org/3/library/functions.html#eval",
        fix="Choose from a dictionary of names; for values, use ast.literal_eval.",
        verify="A name that doesn't exist has to give an error which lists those that do.",
        bad="def model(name):\n    return eval(name)()\n",
        good='MODELS = {"dict": dict}\n\n\ndef model(name):\n    return MODELS[name]()\n',
        lines_to_fix=3,
        is_default=False,
    ),
    "S102": Rule(
        id="ML309",
        title="`exec` of a text",
        category=Category.HYGIENE,
        stage=Stage.PRODUCTION,
        why="The text of another file runs as code and changes variables that no reader and no "
        "tool can see, such as the settings of a run.",
        source="https://docs.python.org/3/library/functions.html#exec",
        fix="Read settings from TOML, YAML or JSON, or import the module.",
        verify="An unknown setting has to be an error.",
        bad="def read_settings(path):\n    exec(path.read_text())\n",
        good="import tomllib\n\n\ndef read_settings(path):\n"
        "    return tomllib.loads(path.read_text())\n",
        lines_to_fix=5,
        is_default=False,
    ),
    "S506": Rule(
        id="ML310",
        title="`yaml.load` with a loader that makes any object",
        category=Category.HYGIENE,
        stage=Stage.PRODUCTION,
        why="A YAML file can then call any function of Python.",
        source="https://github.com/yaml/pyyaml/wiki/PyYAML-yaml.load(input)-Deprecation",
        fix="Use yaml.safe_load.",
        verify="The config is read as before; `!!python/name:os.system` in it is an error.",
        bad="import yaml\n\n\ndef read(text):\n    return yaml.load(text, Loader=yaml.Loader)\n",
        good="import yaml\n\n\ndef read(text):\n    return yaml.safe_load(text)\n",
        lines_to_fix=1,
        is_default=False,
    ),
    "S202": Rule(
        id="ML311",
        title="An archive is extracted without a filter",
        category=Category.HYGIENE,
        stage=Stage.PRODUCTION,
        why="Before Python 3.14, a member named ../../x or a link is written outside of the "
        "folder, so a downloaded data set can overwrite any file of yours.",
        source="https://docs.python.org/3/library/tarfile.html#extraction-filters",
        fix='Pass filter="data".',
        verify="An archive with a member ../x has to be refused.",
        bad="import tarfile\n\n\ndef unpack(path):\n    with tarfile.open(path) as archive:\n"
        '        archive.extractall("data")\n',
        good="import tarfile\n\n\ndef unpack(path):\n    with tarfile.open(path) as archive:\n"
        '        archive.extractall("data", filter="data")\n',
        lines_to_fix=1,
        is_default=False,
    ),
}
"""By ruff's code."""
