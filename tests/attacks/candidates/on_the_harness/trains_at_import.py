"""Trains while it is imported, and then once more in train().

It must be called `protected_setting`: what is drawn at import counts.
"""

from attacks.attack import model_append, train_append, train_top

TRIES = "trains at import, before train() is called"
STATUS = "protected_setting"
STATIC = "protected_setting"

REWRITES = {
    "by_calling_train": (train_append("train()"),),
    "at_the_top": (
        train_top(
            """
            early = GPT(GPTConfig())
            descent = torch.optim.SGD(early.parameters(), lr=1.0)
            for _, (x, y) in zip(range(max_iters), harness.batches("train")):
                descent.zero_grad()
                early(x, y)[1].backward()
                descent.step()
            """
        ),
    ),
    "in_the_model": (
        model_append(
            """
            import sys
            if "harness" in sys.modules:
                import harness

                early = GPT(GPTConfig())
                for _, (x, y) in zip(range(10), harness.batches("train")):
                    early(x, y)[1].backward()
            """
        ),
    ),
}
