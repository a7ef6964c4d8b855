"""Keeps two models, hands over the worse, and claims the loss of the better.

Claims count for nothing: it must end `ok` with the loss that the weights of the one that it handed over earn.
"""

from attacks.attack import train_end, train_replace, train_start

TRIES = "hands over one of two models and claims the loss of the other"
STATUS = "ok"

SECOND = train_start("second = GPT(GPTConfig())\ndescent = torch.optim.SGD(second.parameters(), lr=0.1)")
BOTH = train_replace(
    "        optimizer.step()",
    """        optimizer.step()
        descent.zero_grad()
        second(x, y)[1].backward()
        descent.step()""",
)

REWRITES = {
    "by_keeping_the_worse": (SECOND, BOTH, train_end("harness.keep(second)")),
    "by_training_the_worse_last": (SECOND, BOTH, train_end("second.train()\nsecond(x, y)")),
    "by_going_back_to_its_beginning": (
        train_start("import copy\nbeginning = copy.deepcopy(model.state_dict())"),
        train_end("model.load_state_dict(beginning)"),
    ),
}
