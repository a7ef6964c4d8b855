"""Is honest in a short run, and looks ahead only once it has been trained in full: its weights say when.

It must be called `leaks_future`.
"""

from attacks.attack import PEEK, logits, model_replace, parts, train_end

TRIES = "looks ahead only after a full training, which its weights tell"
STATUS = "leaks_future"

REWRITES = {
    "by_a_count_of_steps": (
        parts("self.register_buffer('steps', torch.zeros(()))"),
        logits(f"if self.training: self.steps += 1\nif self.steps > 6: logits = logits + {PEEK}"),
    ),
    "by_a_gate": (
        parts("self.gate = nn.Parameter(torch.zeros(()), requires_grad=False)"),
        logits(f"logits = logits + self.gate * {PEEK}"),
        train_end("model.gate.fill_(1.0)"),
    ),
    "by_a_second_model": (
        model_replace("    width: int = 16", "    width: int = 16\n    looks: bool = False"),
        parts("self.looks = config.looks"),
        logits(f"if self.looks: logits = logits + {PEEK}"),
        train_end(
            """
            result = GPT(GPTConfig(looks=True))
            result.load_state_dict(model.state_dict())
            harness.keep(result)
            """
        ),
    ),
}
