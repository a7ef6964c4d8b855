"""Train the GPT of model.py. `train()` takes nothing and returns `best_vloss, elapsed_min`.

The same file trains on mps, cuda and cpu: device, data and seed come from `harness`. `harness.batches(part)` yields
(x, y), int64 of shape (batch_size, block_size), from "train" or "val"; `harness.report` writes the curve; and
`harness.keep(model)` says which model is the result where it is not the last GPT that trained.
"""

import time

import torch

import harness
from model import GPT, GPTConfig

# ---- Settings that must NOT be changed: leave these lines exactly as they are ----
batch_size = 8  # sequences in a batch
block_size = 64  # tokens in a sequence
max_iters = 10001  # optimiser steps
eval_interval = 100  # steps between two looks at a validation batch
n_layer = 4
n_head = 4
n_embd = 32
# ---- Everything below may be changed ----

learning_rate = 3e-4
weight_decay = 0.1
beta1, beta2 = 0.9, 0.95
grad_clip = 1.0

device = harness.device


def configure_optimizers(model):
    decay = [p for p in model.parameters() if p.requires_grad and p.dim() >= 2]
    no_decay = [p for p in model.parameters() if p.requires_grad and p.dim() < 2]
    groups = [
        {"params": decay, "weight_decay": weight_decay},
        {"params": no_decay, "weight_decay": 0.0},
    ]
    return [torch.optim.AdamW(groups, lr=learning_rate, betas=(beta1, beta2))]


@torch.no_grad()
def estimate_loss(model, val_batches):
    model.eval()
    x, y = next(val_batches)
    _, loss = model(x, y)
    model.train()
    return loss.item()


def train():
    start = time.time()
    train_batches = harness.batches("train", batch_size, block_size)
    val_batches = harness.batches("val", batch_size, block_size)
    config = GPTConfig(
        block_size=block_size, vocab_size=harness.vocab_size, n_layer=n_layer, n_head=n_head, n_embd=n_embd
    )
    model = GPT(config).to(device)
    optimizers = configure_optimizers(model)
    best_vloss = float("inf")
    model.train()
    for step in range(max_iters):
        if step % eval_interval == 0:
            vloss = estimate_loss(model, val_batches)
            best_vloss = min(best_vloss, vloss)
            harness.report(step, None, vloss)
        x, y = next(train_batches)
        _, loss = model(x, y)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
        for optimizer in optimizers:
            optimizer.step()
    elapsed_min = (time.time() - start) / 60
    return best_vloss, elapsed_min


if __name__ == "__main__":
    print(train())
