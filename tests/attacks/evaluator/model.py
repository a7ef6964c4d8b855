"""A GPT of one causal layer over bytes. Attacks put their code at the marked places."""

from dataclasses import dataclass

import torch
import torch.nn as nn
from torch.nn import functional as F

# the top


@dataclass
class GPTConfig:
    vocab_size: int = 256
    block_size: int = 16
    width: int = 16


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)  # each (B, T, C)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.width)
        self.wpe = nn.Embedding(config.block_size, config.width)
        self.attention = Attention(config)
        self.head = nn.Linear(config.width, config.vocab_size)
        # the parts

    def forward(self, idx, targets=None):
        B, T = idx.shape
        x = self.wte(idx) + self.wpe(torch.arange(T, device=idx.device))  # (B, T, C)
        x = x + self.attention(x)
        # the hidden states
        logits = self.head(x)  # (B, T, vocab_size)
        # the logits
        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits.reshape(B * T, -1), targets.reshape(B * T))
        return logits, loss
