"""Train the GPT of model.py. `train()` takes nothing and returns `best_vloss, elapsed_min`.

The same file trains on mps, cuda and cpu: device, data and seed come from `harness`. `harness.batches(part)` yields
(x, y), int64 of shape (batch_size, block_size), from "train" or "val"; `harness.report` writes the curve; and
`harness.keep(model)` says which model is the result where it is not the last GPT that trained.
"""

import math
import time

import torch

import harness
from model import GPT, GPTConfig

# ---- Settings that must NOT be changed: leave these lines exactly as they are ----
batch_size = 16  # sequences in a batch
block_size = 64  # bytes in a sequence
max_iters = 180  # optimiser steps
eval_interval = 30  # steps between two looks at validation batches
eval_batches = 4  # validation batches in one look
# ---- Everything below may be changed ----

learning_rate = 2e-3
min_lr = 2e-4
warmup_iters = 20
weight_decay = 0.1
beta1, beta2 = 0.9, 0.99
grad_clip = 1.0

device = harness.device


def get_lr(step):
    if step < warmup_iters:
        return learning_rate * (step + 1) / warmup_iters
    ratio = (step - warmup_iters) / max(1, max_iters - warmup_iters)
    return min_lr + 0.5 * (1.0 + math.cos(math.pi * ratio)) * (learning_rate - min_lr)


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
    losses = []
    for _ in range(eval_batches):
        x, y = next(val_batches)
        _, loss = model(x, y)
        losses.append(loss.item())
    model.train()
    return sum(losses) / len(losses)


def train():
    start = time.time()
    train_batches = harness.batches("train", batch_size, block_size)
    val_batches = harness.batches("val", batch_size, block_size)
    model = GPT(GPTConfig(block_size=block_size, vocab_size=harness.vocab_size)).to(device)
    optimizers = configure_optimizers(model)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    best_vloss = float("inf")
    model.train()
    for step in range(max_iters):
        scale = get_lr(step) / learning_rate
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * scale
        x, y = next(train_batches)
        _, loss = model(x, y)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
        for optimizer in optimizers:
            optimizer.step()
        if (step + 1) % eval_interval == 0:
            vloss = estimate_loss(model, val_batches)
            best_vloss = min(best_vloss, vloss)
            harness.report(step + 1, loss.item(), vloss)
    elapsed_min = (time.time() - start) / 60
    return best_vloss, elapsed_min


if __name__ == "__main__":
    print(train())
