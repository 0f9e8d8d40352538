import torch
from torch import nn

embeddings = torch.ones(3)
torch.save(embeddings, "embeddings.pt")
