"""Edits that average weights over time, or change gradients and weight decay around an optimizer step."""

from evo.catalogue.edits.core import TRAIN, Change, Edit, swap
from evo.catalogue.edits.insertion import (
    after_step,
    after_training,
    before_step,
    before_training,
    ending_step,
    parameter,
    removed,
)

_CLIP = "        torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)\n"

EDITS = (
    Edit(
        name="weight_average",
        description="The result is a running average of the weights, which validation looks at too.",
        words=("averag", "path integral", "forgetting", "sum over", "summing", "meta optim", "statistical"),
        mark=(TRAIN, r"harness\.keep\(averaged\)"),
        ways=tuple(
            (
                before_training(
                    """
                    averaged = GPT(model.config).to(device)
                    averaged.load_state_dict(model.state_dict())
                    """
                ),
                update,
                swap(TRAIN, "estimate_loss(model, val_batches)", "estimate_loss(averaged, val_batches)", "train"),
                after_training("harness.keep(averaged)"),
            )
            for update in ending_step(
                """
                with torch.no_grad():
                    for mean, p in zip(averaged.parameters(), model.parameters()):
                        mean.lerp_(p, max(0.1, 1.0 / (step + 1)))
                """
            )
        ),
    ),
    Edit(
        name="lookahead",
        description="Every fifth step the weights go back half-way to where they were five steps before.",
        words=("lookahead", "meta optim", "forgetting", "pendulum", "path", "averag", "game theory"),
        mark=(TRAIN, r"^    anchors = "),
        ways=tuple(
            (before_training("anchors = [p.detach().clone() for p in model.parameters()]"), update)
            for update in ending_step(
                """
                if (step + 1) % 5 == 0:
                    with torch.no_grad():
                        for anchor, p in zip(anchors, model.parameters()):
                            p.copy_(anchor.lerp_(p, 0.5))
                """
            )
        ),
        weight=0.8,
    ),
    Edit(
        name="no_clip",
        description="Gradients are no longer clipped.",
        words=("clip", "simplic", "dynamical", "constraint"),
        mark=(TRAIN, r"\A(?![\s\S]*clip_grad_norm_)[\s\S]*optimizer\.step\(\)"),
        ways=((removed(TRAIN, _CLIP, "train"),),),
        weight=0.6,
    ),
    Edit(
        name="tight_clip",
        description="Gradients are clipped at a quarter of the norm.",
        words=("clip", "bounded", "convex", "stability", "constraint"),
        mark=(TRAIN, r"^grad_clip = [\d.]+ / 4$"),
        ways=((parameter("grad_clip", r"\1 / 4"),),),
        weight=0.6,
    ),
    Edit(
        name="gradient_noise",
        description="Gradients get a little noise that fades with time, as in Langevin dynamics.",
        words=("monte carlo", "stochastic", "sampling", "brownian", "statistical mechanics", "quantum tunneling"),
        mark=(TRAIN, r"p\.grad\.add_\("),
        ways=(
            (
                before_step(
                    """
                    for p in model.parameters():
                        if p.grad is not None:
                            p.grad.add_(torch.randn_like(p), alpha=1e-3 / (step + 1) ** 0.55)
                    """
                ),
            ),
        ),
        weight=0.5,
    ),
    Edit(
        name="no_weight_decay",
        description="No weight decays.",
        words=("weight decay", "conservation", "forgetting", "energy"),
        mark=(TRAIN, r"^weight_decay = 0\.0$"),
        ways=((parameter("weight_decay", "0.0"),),),
        weight=0.6,
    ),
    Edit(
        name="cautious_weight_decay",
        description="Ten times the weight decay, and only where the step itself already moves a weight towards zero.",
        words=("weight decay", "weight repair", "meta optim", "regulari", "convex"),
        mark=(TRAIN, r"^cautious_decay = "),
        ways=(
            (
                Change(
                    TRAIN,
                    r"^weight_decay = (?!0\.0$)([\d.]+)$",
                    r"weight_decay = 0.0  # all decay is cautious\ncautious_decay = 10 * \1",
                ),
                before_step("before = [p.detach().clone() for p in model.parameters()]"),
                after_step(
                    """
                    rate = min(learning_rate, optimizers[-1].param_groups[0]["lr"])
                    with torch.no_grad():
                        for old, p in zip(before, model.parameters()):
                            if p.dim() >= 2:
                                p.mul_(1.0 - rate * cautious_decay * ((old - p) * old > 0))
                    """
                ),
            ),
        ),
        weight=0.8,
    ),
)
