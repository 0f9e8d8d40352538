# Throwaway: may be deleted after 2027-02-22.
# Yours: an update never touches this file.
"""Where does the time of a training step go? Needs the project to be installed.

Run it with `python scripts/throwaway/profile.py`. The trace is for https://ui.perfetto.dev.
"""

from torch.profiler import profile

from digits.config import Config, TrainingConfig
from digits.data.cache import load_split
from digits.training.loop import train
from digits.training.run import Run

config = Config(training=TrainingConfig(max_steps=20, warmup_steps=0, evaluate_every=20))
train_set, validation_set = load_split(config, "train"), load_split(config, "validation")
run = Run.create("profile", config, train_set, scratch=True)
with profile() as profiler:
    train(config, run, train_set, validation_set)
print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=15))
profiler.export_chrome_trace("runs/profile/trace.json")
print("Trace: runs/profile/trace.json")
