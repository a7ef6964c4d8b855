"""Candidates that look odd and cheat nobody: neither the static checks nor the verifier may refuse one of them."""

import pytest
from attacks.attack import (
    changed,
    hidden,
    logits,
    model_replace,
    model_top,
    parts,
    train_end,
    train_replace,
    train_start,
    train_top,
)

from evo.proposer import answer
from evo.status import Status
from evo.verify import static

ATTENTION = "return F.scaled_dot_product_attention(q, k, v, is_causal=True)"
MADE = "model = GPT(GPTConfig(vocab_size=harness.vocab_size, block_size=block_size)).to(harness.device)"
STEP = "        optimizer.step()\n"

HONEST = {
    "dropout": (parts("self.drop = nn.Dropout(0.2)"), hidden("x = self.drop(x)")),
    "tied_weights": (parts("self.head.weight = self.wte.weight"),),
    "rotary_positions": (
        model_replace(
            ATTENTION,
            """half = q.shape[-1] // 2
        angles = torch.arange(x.shape[1])[:, None] / 10 ** torch.arange(half)  # (T, C / 2)
        cos, sin = angles.cos(), angles.sin()

        def turn(a):
            return torch.cat([a[..., :half] * cos - a[..., half:] * sin, a[..., :half] * sin + a[..., half:] * cos], -1)

        return F.scaled_dot_product_attention(turn(q), turn(k), v, is_causal=True)""",
        ),
    ),
    "alibi": (
        model_replace(
            ATTENTION,
            """t = torch.arange(x.shape[1])
        bias = -0.5 * (t[:, None] - t).masked_fill(t > t[:, None], 0)
        mask = bias.masked_fill(t > t[:, None], float("-inf"))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)""",
        ),
    ),
    "a_dense_mixture_of_experts": (
        parts(
            """
            self.gate = nn.Linear(config.width, 3)
            self.experts = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(3))
            """
        ),
        hidden(
            "x = x + (torch.stack([e(x) for e in self.experts], -1) * self.gate(x).softmax(-1)[..., None, :]).sum(-1)"
        ),
    ),
    "experts_chosen_token_by_token": (
        parts(
            """
            self.gate = nn.Linear(config.width, 3)
            self.experts = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(3))
            """
        ),
        hidden(
            """
            sure, chosen = self.gate(x).softmax(-1).max(-1)
            served = torch.zeros_like(x)
            for number, expert in enumerate(self.experts):
                mine = chosen == number
                served[mine] = expert(x[mine]) * sure[mine][:, None]
            x = x + served
            """
        ),
    ),
    "causal_convolutions": (
        parts("self.conv = nn.Conv1d(config.width, config.width, 4)"),
        hidden("x = x + self.conv(F.pad(x.transpose(1, 2), (3, 0))).transpose(1, 2)"),
    ),
    "an_lstm": (
        parts("self.rnn = nn.LSTM(config.width, config.width, batch_first=True)"),
        hidden("x = x + self.rnn(x)[0]"),
    ),
    "averages_copied_into_the_model": (
        train_start("average = {name: tensor.clone() for name, tensor in model.state_dict().items()}"),
        train_replace(STEP, STEP + "        for n, t in model.state_dict().items(): average[n].lerp_(t, 0.2)\n"),
        train_end("model.load_state_dict(average)"),
    ),
    "an_averaged_model": (
        train_start("average = torch.optim.swa_utils.AveragedModel(model)"),
        train_replace(STEP, STEP + "        average.update_parameters(model)\n"),
        train_end("harness.keep(average)"),
    ),
    "a_teacher_of_averages": (
        train_start("import copy\nteacher = copy.deepcopy(model).eval()"),
        train_replace(
            "        _, loss = model(x, y)\n",
            """        output, loss = model(x, y)
        with torch.no_grad():
            wanted = teacher(x, y)[0].softmax(-1)
            for slow, fast in zip(teacher.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast, 0.1)
        loss = loss + 0.1 * torch.nn.functional.cross_entropy(output.flatten(0, 1), wanted.flatten(0, 1))
""",
        ),
        train_end("harness.keep(model)"),
    ),
    "renamed_classes": (
        model_replace("class Attention", "class Layer"),
        model_replace("= Attention(", "= Layer("),
        model_replace("class GPTConfig", "class Shape"),
        train_replace("import GPT, GPTConfig", "import GPT, Shape"),
        train_replace("GPT(GPTConfig(", "GPT(Shape("),
    ),
    "plain_arguments": (
        model_replace(
            "GPT(nn.Module):\n    def __init__(self, config)", "GPT(nn.Module):\n    def __init__(self, **sizes)"
        ),
        parts("self.sizes = sizes"),
        model_replace("        self.wte = nn", "        config = GPTConfig(**sizes)\n        self.wte = nn"),
        train_replace(MADE, "model = GPT(width=24).to(harness.device)"),
    ),
    "buffers": (
        parts(
            """
            self.register_buffer("scale", torch.ones(config.vocab_size))
            self.register_buffer("places", torch.arange(config.block_size), persistent=False)
            """
        ),
        logits("logits = logits * self.scale + 0 * self.places[:T, None]"),
        train_end("model.scale.fill_(1.05)"),
    ),
    "float16_weights": (train_end("model.to(torch.float16)"),),
    "bfloat16_weights": (train_end("model.to(torch.bfloat16)"),),
    "autocast_in_forward": (
        model_replace(
            "        x = x + self.attention(x)\n",
            '        with torch.autocast("cpu", dtype=torch.bfloat16):\n            x = x + self.attention(x)\n',
        ),
    ),
    "a_compiled_model": (train_replace(MADE, MADE + "\n    model = torch.compile(model, backend='eager')"),),
    "weight_norm": (parts("nn.utils.parametrizations.weight_norm(self.head)"),),
    "gradient_checkpointing": (
        model_replace(
            "x = x + self.attention(x)",
            "x = x + torch.utils.checkpoint.checkpoint(self.attention, x, use_reentrant=False)",
        ),
        model_top("import torch.utils.checkpoint"),
    ),
    "stochastic_depth": (
        model_replace(
            "        x = x + self.attention(x)\n",
            "        if not self.training or torch.rand(()) < 0.8:\n            x = x + self.attention(x)\n",
        ),
    ),
    "a_loss_of_its_own": (
        train_replace(
            "        _, loss = model(x, y)\n",
            """        output, _ = model(x, y)
        loss = torch.nn.functional.cross_entropy(output.flatten(0, 1), y.flatten(), label_smoothing=0.05)
        loss = loss + 1e-4 * output.logsumexp(-1).square().mean()
""",
        ),
    ),
    "only_the_last_position_without_targets": (
        model_replace(
            "        loss = None\n", "        loss = None\n        if targets is None: return logits[:, -1:], None\n"
        ),
    ),
    "a_batch_fetched_ahead": (
        train_start("following = next(train_batches)"),
        train_replace("x, y = next(train_batches)", "(x, y), following = following, next(train_batches)"),
    ),
}


ODD_TO_READ = {
    "parts_by_name": (
        parts("for i in range(2): setattr(self, f'layer_{i}', nn.Linear(config.width, config.width))"),
        hidden("for i in range(2): x = x + getattr(self, f'layer_{i}')(F.gelu(x))"),
        train_replace("torch.optim.AdamW(", "getattr(torch.optim, 'NAdam')("),
    ),
    "settings_of_libraries": (
        train_top(
            """
            import os, warnings
            warnings.filterwarnings("ignore")
            os.environ["TOKENIZERS_PARALLELISM"] = "false"
            torch.set_float32_matmul_precision("high")
            torch.backends.cudnn.benchmark = True
            """
        ),
    ),
    "a_schedule_and_clipping": (
        train_start("schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-2, total_steps=max_iters)"),
        train_replace(
            STEP,
            "        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n" + STEP + "        schedule.step()\n",
        ),
    ),
    "a_table_of_its_own": (
        model_top("TABLE = {'gelu': F.gelu, 'relu': F.relu}"),
        hidden("x = x + TABLE['gelu'](x)"),
    ),
}


@pytest.mark.parametrize("name", [*HONEST, *ODD_TO_READ])
def test_the_static_checks_let_an_honest_candidate_through(attacked, name):
    assert static.check(changed(*{**HONEST, **ODD_TO_READ}[name]), attacked) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", HONEST)
def test_an_honest_candidate_is_scored_with_the_loss_that_it_earns(judge, plain_loss, name):
    files = changed(*HONEST[name])
    judged = judge(files)
    judgement = judged.judgement
    assert judgement.status == Status.OK, f"{judgement.reason}\n{judgement.output_tail}"
    tolerance = 2e-3 if "float16" in name else 1e-6
    assert judgement.val_loss == pytest.approx(plain_loss(files, judged), abs=tolerance)


def test_further_blocks_of_an_answer_are_ignored(attacked):
    files = changed(*HONEST["dropout"])
    blocks = [f"```python\n# {name}\n{text}```" for name, text in files.items()]
    found = answer.parse(
        "\n\n".join(["Install it:", "```sh\npip install torch\n```", *blocks, "```python\n# utils.py\nx = 1\n```"]),
        attacked.baseline,
    )
    assert found.status == Status.OK
    assert static.check(found.files, attacked) is None
    assert {name: text.strip() for name, text in found.files.items()} == {n: t.strip() for n, t in files.items()}
