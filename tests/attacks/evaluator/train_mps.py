"""Train the GPT of model.py for ten iterations. Attacks put their code at the marked places."""

import time

import harness
import torch
from model import GPT, GPTConfig

batch_size = 4
block_size = 16
max_iters = 10
eval_interval = 5

# the top


def train():
    start = time.time()
    train_batches = harness.batches("train", batch_size, block_size)
    val_batches = harness.batches("val", batch_size, block_size)
    model = GPT(GPTConfig(vocab_size=harness.vocab_size, block_size=block_size)).to(harness.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-2)
    best_vloss = float("inf")
    model.train()
    # the start
    for step in range(max_iters):
        x, y = next(train_batches)
        _, loss = model(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % eval_interval == 0:
            model.eval()
            with torch.no_grad():
                best_vloss = min(best_vloss, model(*next(val_batches))[1].item())
            model.train()
            harness.report(step + 1, loss.item(), best_vloss)
    # the end
    return best_vloss, (time.time() - start) / 60
