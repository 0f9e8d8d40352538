"""The settings of a run: defaults, bounds, and how they are read from a file."""

import tomllib

SETTINGS = {  # default, smallest and largest value
    "seed": (0, 0, 1_000_000),
    "epochs": (40, 1, 100_000),
    "batch_size": (32, 1, 256),
    "learning_rate": (0.005, 1e-6, 1.0),
    "weight_decay": (0.0, 0.0, 10.0),
    "hidden": (32, 1, 4096),
    "train_fraction": (1.0, 0.05, 1.0),
}


def read_config(path):
    """Return the settings of a file, completed with the defaults, and a list of problems."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return {}, [f"{path}: {error}"]
    problems = [f"{name}: no such setting" for name in given if name not in SETTINGS]
    config = {}
    for name, (default, low, high) in SETTINGS.items():
        value = config[name] = given.get(name, default)
        if type(value) not in (int, type(default)) or not low <= value <= high:
            kind = "an integer" if type(default) is int else "a number"
            problems.append(f"{name}: {value!r}; expected {kind} from {low} to {high}")
    return config, problems
