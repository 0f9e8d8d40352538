"""The Trainer of Hugging Face seeds with 42."""

from transformers import Trainer, TrainingArguments

trainer = Trainer(model=None, args=TrainingArguments("out"))
trainer.train()
