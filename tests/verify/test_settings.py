"""Ways round the protected settings, in either file, and the honest code that looks like one."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo import evaluator as evaluators
from evo.status import Status
from evo.verify import static

ROOT = Path(__file__).resolve().parents[2]
TINY = evaluators.load(ROOT / "evaluators" / "tiny_gpt")
SHAKESPEARE = evaluators.load(ROOT / "evaluators" / "shakespeare_mps")
TRAIN, MODEL = TINY.spec.files


def checked(train="", model="", evaluator=TINY):
    """What the check says of the baseline with code put at the end of its files."""
    files = {
        name: f"{evaluator.baseline[name]}\n\n{code}\n"
        for name, code in zip((TRAIN, MODEL), (train, model), strict=True)
    }
    return static.check(files, evaluator)


def assert_refused(failure, *parts):
    assert failure is not None
    assert failure.status == Status.PROTECTED_SETTING
    assert all(part in failure.reason for part in parts), failure.reason
    assert "\n" not in failure.reason
    assert len(failure.reason) < 200


# ---- names reached behind their back ----

OPEN = {
    "exec": ("exec('max_iters = 9')", "exec()"),
    "eval": ("eval('1')", "eval()"),
    "globals": ("globals()['max_iters'] = 9", "globals()"),
    "globals in a method": ("class C:\n    def f(self):\n        globals().update(max_iters=9)", "globals()"),
    "locals": ("locals()['max_iters'] = 9", "locals()"),
    "vars of a module": ("vars(torch)", "vars()"),
    "compile": ("compile('max_iters = 9', 'x', 'exec')", "compile()"),
    "__import__": ("__import__('sys')", "__import__()"),
    "exec by another name": ("e = exec", "exec()"),
    "exec in a list": ("[exec][0]('max_iters = 9')", "exec()"),
    "exec as an argument": ("list(map(exec, ['max_iters = 9']))", "exec()"),
    "exec as a decorator": ("@exec\ndef f():\n    pass", "exec()"),
    "exec as a default": ("def f(exec=exec):\n    pass", "exec()"),
    "exec in an annotation": ("def f(exec: exec('max_iters = 9')):\n    pass", "exec()"),
    "exec bound after": ("exec('max_iters = 9')\nexec = None", "exec()"),
    "exec bound never": ("if 0:\n    exec = None\nexec('max_iters = 9')", "exec()"),
    "exec bound and deleted": ("exec = None\ndel exec\nexec('max_iters = 9')", "exec()"),
    "exec bound as itself": ("exec = exec\nexec('max_iters = 9')", "exec()"),
    "exec bound in a comprehension": ("x = [0 for exec in ()]\nexec('max_iters = 9')", "exec()"),
    "exec bound in another function": ("def f(exec):\n    pass\nexec('max_iters = 9')", "exec()"),
    "exec bound in a class": ("class C:\n    if 0:\n        exec = None\n    exec('max_iters = 9')", "exec()"),
    "a method sees no class's names": (
        "class C:\n    vars = 1\n    def f(self):\n        return vars(torch)",
        "vars()",
    ),
    "a comprehension's iterable": ("x = [0 for vars in vars(torch)]", "vars()"),
    "setattr by another name": ("s = setattr", "setattr()"),
    "delattr by another name": ("list(map(delattr, [], []))", "delattr()"),
    "a setter by another name": ("s = object.__setattr__", "object.__setattr__"),
    "setattr with spread arguments": ("setattr(*x)", "setattr(*x)"),
    "import builtins": ("import builtins", "builtins"),
    "import builtins as": ("import builtins as b", "builtins"),
    "from builtins": ("from builtins import exec as e", "builtins.exec"),
    "__builtins__": ("__builtins__.exec('max_iters = 9')", "__builtins__"),
    "__loader__": ("__loader__.load_module()", "__loader__"),
    "__spec__": ("__spec__.loader", "__spec__"),
    "import ctypes": ("import ctypes.util", "ctypes"),
    "from ctypes": ("from ctypes import pythonapi", "ctypes"),
    "import __main__": ("import __main__", "__main__"),
    "runpy": ("from runpy import run_path", "runpy"),
    "mock": ("from unittest import mock", "unittest.mock"),
    "mock by its package": ("import unittest\nunittest.mock.patch('harness.batches')", "unittest.mock"),
    "import of the train file": ("import train_mps as t", "train_mps"),
    "importlib": ("import importlib\nimportlib.import_module('train_mps')", "importlib.import_module"),
    "importlib by another name": ("import importlib as il\nf = il.reload", "importlib.reload"),
    "from importlib": ("from importlib import reload\nreload(torch)", "importlib.reload"),
    "importlib.util": ("from importlib import util\nutil.module_from_spec(x)", "importlib.util.module_from_spec"),
    "sys.modules": ("import sys\nm = sys.modules['train_mps']", "sys.modules"),
    "sys.modules set": ("import sys\nsys.modules['harness'] = 3", "sys.modules"),
    "sys.modules by a method": ("import sys\nsys.modules.get('train_mps')", "sys.modules"),
    "sys.modules asked and kept": ("import sys\nx = 'x' in (m := sys.modules)", "sys.modules"),
    "sys.modules by name": ("from sys import modules as m", "sys.modules"),
    "sys by another name": ("import sys as s\nq = s\nq.modules.pop('harness')", "sys.modules"),
    "sys in a function": ("def f():\n    import sys\n    return sys.modules", "sys.modules"),
    "sys.modules through getattr": ("import sys\ngetattr(sys, 'modules')", "sys.modules"),
    "frames": ("import sys\nsys._getframe()", "sys._getframe"),
    "inspect": ("import inspect\ninspect.currentframe()", "inspect.currentframe"),
    "inspect.stack": ("from inspect import stack\nstack()", "inspect.stack"),
    "gc": ("import gc\ngc.get_objects()", "gc.get_objects"),
    "gc.get_referrers": ("from gc import get_referrers as r", "gc.get_referrers"),
    "__dict__": ("torch.__dict__['batch_size'] = 8", "__dict__"),
    "__dict__ of an argument": ("def f(m):\n    m.__dict__['batches'] = None", "m.__dict__"),
    "__dict__ of what is called self": ("self = torch\nself.__dict__['compile'] = None", "self.__dict__"),
    "__globals__": ("GPT.forward.__globals__['F'] = 8", "__globals__"),
    "__globals__ through getattr": ("getattr(GPT.forward, '__globals__')['F'] = 8", "__globals__"),
    "__globals__ through operator": ("import operator\noperator.attrgetter('forward.__globals__')(GPT)", "__globals__"),
    "f_globals": ("x.f_back.f_globals['max_iters'] = 9", "f_back"),
    "traceback": ("try:\n    1 / 0\nexcept Exception as e:\n    e.__traceback__.tb_frame", "tb_frame"),
    "the harness's own": ("import harness\nharness._JOB", "harness._JOB"),
}


@pytest.mark.parametrize(("code", "way"), OPEN.values(), ids=OPEN)
def test_reaching_names_behind_their_back_is_refused_in_both_files(code, way):
    line = TINY.baseline[TRAIN].count("\n") + 3
    assert_refused(checked(train=code), "settings: could be changed through ", way, "; expected plain code")
    assert any(f"on line {line + n};" in checked(train=code).reason for n in range(6))
    assert_refused(checked(model=code), "settings: could be changed through ", way, f" of {MODEL}; expected plain code")


PROTECTED_ATTRIBUTES = {
    "an import": "import os\nos.max_iters = 9",
    "an import's attribute": "torch.nn.max_iters = 9",
    "an imported function": "from math import cos\ncos.max_iters = 9",
    "torch's configuration": "torch.backends.max_iters = 9",
    "the other file": "import model\nmodel.max_iters = 9",
    "a name for an import": "import os\no = os\no.max_iters = 9",
    "a name in a tuple": "import os\na, o = 1, os\no.max_iters = 9",
    "a name in a loop": "import os\nfor o in (torch, os):\n    o.max_iters = 9",
    "a walrus": "import os\nif (o := os):\n    o.max_iters = 9",
    "a call": "f().max_iters = 9",
    "a subscript": "x['train_mps'].max_iters = 9",
    "a method's result": "self.f().max_iters = 9",
    "either": "(a or b).max_iters = 9",
    "augmented": "import os\nos.max_iters -= 9",
    "annotated": "import os\nos.max_iters: int = 9",
    "deleted": "import os\ndel os.max_iters",
    "a loop's target": "import os\nfor os.max_iters in range(9):\n    pass",
    "with": "import os\nwith open('x') as os.max_iters:\n    pass",
    "a tuple's target": "import os\nx, os.max_iters = 1, 9",
    "setattr of an import": "import os\nsetattr(os, 'max_iters', 9)",
    "setattr of the other file": "import model\nsetattr(model, 'max_iters', 9)",
    "setattr of an object": "setattr(thing, 'max_iters', 9)",
    "setattr of a call": "setattr(f(), 'max_iters', 9)",
    "delattr": "delattr(thing, 'max_iters')",
    "__setattr__ of a type": "object.__setattr__(thing, 'max_iters', 9)",
    "__setattr__ of an import": "import os\nos.__setattr__('max_iters', 9)",
    "__setattr__ through getattr": "import os\ngetattr(os, '__setattr__')('max_iters', 9)",
    "__delattr__": "import os\nos.__delattr__('max_iters')",
}


@pytest.mark.parametrize("code", PROTECTED_ATTRIBUTES.values(), ids=PROTECTED_ATTRIBUTES)
def test_a_setting_set_as_an_attribute_of_what_may_be_a_module_is_refused_with_its_name(code):
    assert_refused(checked(train=code), "max_iters: expected 180, found ", "max_iters", "changed on line ")
    assert_refused(checked(model=code), "max_iters: expected 180, found ", f" of {MODEL}")


def test_a_setting_set_through_sys_modules_is_named():
    failure = checked(model="import sys\nsys.modules['train_mps'].max_iters = 9")
    line = TINY.baseline[MODEL].count("\n") + 4
    found = f"found sys.modules['train_mps'].max_iters changed on line {line} of model.py"
    assert failure.reason == f"max_iters: expected 180, {found}"


# ---- modules that stay as they are ----

REPLACED = {
    "harness": ("import harness\nharness.batches = mine", "harness.batches"),
    "harness by another name": ("import harness as h\nh.report = print", "harness.report"),
    "harness's items": ("import harness\nharness.kept[:] = []", "harness.kept[...]"),
    "harness's items by name": ("from harness import kept\ndel kept[0]", "harness.kept[...]"),
    "time": ("import time\ntime.time = lambda: 0.0", "time.time"),
    "time through setattr": ("import time\nsetattr(time, 'perf_counter', f)", "time.perf_counter"),
    "cross entropy": ("F = torch.nn.functional\nF.cross_entropy = zero", "torch.nn.functional.cross_entropy"),
    "cross entropy in full": ("torch.nn.functional.cross_entropy = zero", "torch.nn.functional.cross_entropy"),
    "cross entropy as F": ("from torch.nn import functional as G\nG.nll_loss = zero", "torch.nn.functional.nll_loss"),
    "a class of torch": ("from torch import nn\nnn.Module.__call__ = f", "torch.nn.Module.__call__"),
    "a method of torch": ("torch.Tensor.backward = f", "torch.Tensor.backward"),
    "all configuration": ("torch.backends = f", "torch.backends"),
    "deleted": ("del torch.compile", "torch.compile"),
    "in a function": ("def f():\n    import torch as t\n    t.save = f", "torch.save"),
    "in a class": ("class C:\n    import torch as t\n    t.save = f", "torch.save"),
    "global": ("def f():\n    global t\n    import torch as t\ndef g():\n    t.save = f", "torch.save"),
    "of an outer function": ("def f():\n    import torch as t\n    def g():\n        t.save = f", "torch.save"),
    "random": ("import random\nrandom.random = f", "random.random"),
    "setattr of any import": ("import os\nsetattr(os, 'getpid', f)", "os.getpid"),
}


@pytest.mark.parametrize(("code", "what"), REPLACED.values(), ids=REPLACED)
def test_replacing_what_a_module_offers_is_refused_with_its_full_name(code, what):
    assert_refused(checked(train=code), f"{what}: expected it as it is, found it replaced on line ")
    assert_refused(checked(model=code), f"{what}: expected it as it is", f" of {MODEL}")


def test_a_module_reached_through_the_other_file_is_the_same_module():
    cross_entropy = "torch.nn.functional.cross_entropy: expected it as it is, found it replaced on line "
    assert_refused(checked(train="import model\nmodel.F.cross_entropy = zero"), cross_entropy)
    assert_refused(checked(train="from model import F as f\nf.cross_entropy = zero"), cross_entropy)
    assert_refused(checked(train="import model\nmodel.s.modules", model="import sys as s"), "through sys.modules")
    assert_refused(checked(model="from train_mps import harness\nharness.keep = 1"), "harness.keep", " of model.py")
    assert checked(train="import model\nmodel.torch.backends.cudnn.benchmark = model.limit = 1") is None


@pytest.mark.parametrize("code", ["setattr(torch, name, f)", "delattr(F, name)", "torch.__setattr__(name, f)"])
def test_setting_an_import_by_a_computed_name_is_refused(code):
    assert_refused(checked(train="import torch.nn.functional as F\n" + code), "settings: ", f"through {code} on line ")


# ---- seeds ----

SEEDS = {
    "torch": "torch.manual_seed(7)",
    "torch.random": "torch.random.manual_seed(7)",
    "cuda": "torch.cuda.manual_seed_all(7)",
    "mps": "torch.mps.manual_seed(7)",
    "by name": "from torch import manual_seed as ms\nms(7)",
    "by another name": "from torch import manual_seed as ms\nf = ms",
    "not called": "f = torch.manual_seed",
    "in a partial": "import functools\nfunctools.partial(torch.manual_seed, 7)()",
    "through getattr": "getattr(torch, 'manual_seed')(7)",
    "by a star": "from torch import *\nmanual_seed(7)",
    "generator": "torch.Generator().manual_seed(7)",
    "a generator's method": "g = torch.Generator()\ng.seed()",
    "random": "import random\nrandom.seed(7)",
    "random by name": "from random import seed\nseed(7)",
    "random's by another name": "import random as r\nq = r.seed",
    "Random": "import random\nrandom.Random(7)",
    "numpy": "import numpy as np\nnp.random.seed(7)",
    "default_rng": "import numpy as np\nnp.random.default_rng(7)",
    "default_rng by keyword": "from numpy.random import default_rng\ndefault_rng(seed=7)",
    "RandomState": "import numpy\nnumpy.random.RandomState(7)",
    "PCG64": "import numpy\nnumpy.random.Generator(numpy.random.PCG64(7))",
    "state": "torch.set_rng_state(state)",
    "state of cuda": "torch.cuda.set_rng_state_all(states)",
    "state of random": "import random\nrandom.setstate(state)",
    "seed_all": "torch.cuda.seed_all()",
    "lightning": "import lightning as L\nL.seed_everything(7)",
    "transformers": "from transformers import set_seed\nset_seed(7)",
    "in a function": "def seed_it(n):\n    torch.manual_seed(n)",
}


@pytest.mark.parametrize("code", SEEDS.values(), ids=SEEDS)
def test_a_seed_of_its_own_is_a_change_in_both_files(code):
    if "import *" not in code:
        assert_refused(checked(train=code), "seed: expected the harness's, found ", " on line ")
    assert_refused(checked(model=code), "seed: expected the harness's, found ", f" of {MODEL}")


def test_a_seeds_reason_quotes_it_with_its_line():
    line = TINY.baseline[TRAIN].count("\n") + 3
    reason = f"seed: expected the harness's, found torch.manual_seed(7) on line {line}"
    assert checked(train="torch.manual_seed(7)").reason == reason
    line = TINY.baseline[MODEL].count("\n") + 3
    assert (
        checked(model="torch.seed()").reason
        == f"seed: expected the harness's, found torch.seed() on line {line} of model.py"
    )


# ---- honest look-alikes ----

HONEST = {
    "model.eval()": "model = GPT(GPTConfig())\nmodel.eval()\nf = model.eval",
    "torch.compile": "model = torch.compile(GPT(GPTConfig()), mode='default')",
    "compile from torch": "from torch import compile\nmodel = compile(GPT(GPTConfig()))",
    "re.compile": "import re\nx = re.compile('a').match('a')",
    "a function called eval": "def run():\n    return eval(1)\n\n\ndef eval(model):\n    return model",
    "a flag called compile": "if torch.cuda.is_available():\n    compile = True\nelse:\n    compile = False\nx = compile",
    "an argument called compile": "def f(model, compile=False):\n    return torch.compile(model) if compile else model",
    "a variable called vars": "def f():\n    vars = [1]\n    return [v for v in vars]",
    "a function called locals": "def locals(x):\n    return x\n\n\nlocals(3)",
    "a comprehension's vars": "x = [vars for vars in range(3) if vars]",
    "a class's compile": "class C:\n    compile = False\n    other = not compile",
    "an attribute called globals": "class C:\n    def f(self):\n        return self.globals(self.exec, self.locals)",
    "a keyword called compile": "f = dict(compile=True, eval=1, seed=3)",
    "setattr of self": "class C:\n    def f(self):\n        for i in range(3):\n            setattr(self, f'h{i}', i)",
    "setattr of self by name": "class C:\n    def f(self, x):\n        setattr(self, 'max_' + 'iters', x)",
    "a setting of self": "class C:\n    def f(self, config):\n        setattr(self, 'max_iters', config.max_iters)",
    "a setting of an argument": "def f(c):\n    setattr(c, 'max_iters', 3)\n    c.max_iters = 4",
    "a setting of a configuration": "config = GPTConfig()\nsetattr(config, 'block_size', 3)",
    "surgery": "def f(parent, new):\n    for name, child in parent.named_children():\n        setattr(parent, name, new)",
    "surgery by path": "def f(m, path, new):\n    setattr(m.get_submodule(path), path, new)",
    "a frozen dataclass": "class C:\n    def __post_init__(self):\n        object.__setattr__(self, 'max_iters', 3)",
    "super().__setattr__": "class C:\n    def __setattr__(self, name, value):\n        super().__setattr__(name, value)",
    "super().__setattr__ of one": "class C:\n    def f(self):\n        super().__setattr__('max_iters', 3)",
    "getattr": "x = getattr(torch, 'bfloat16', None), getattr(torch.backends, 'mps', None), hasattr(torch, 'mps')",
    "self.__dict__": "class C:\n    def __init__(self, **options):\n        self.__dict__.update(options)",
    "operator": "import operator\nf = operator.attrgetter('requires_grad')",
    "parameters": "m = GPT(GPTConfig())\nfor name, p in m.named_parameters():\n    p.data.mul_(0.9)\n    p.requires_grad = True",
    "a lambda": "f = lambda step, total=9: step / total",
    "a local object's": "model = GPT(GPTConfig())\nmodel.max_iters = 3\nmodel.net.block_size = 3",
    "a block of self": "class C:\n    def f(self):\n        self.blocks[0].max_iters = 3",
    "a setting as a keyword": "c = GPTConfig(block_size=64)\nd = dict(max_iters=3)\nd['max_iters'] = 4",
    "an attribute of its own class": "GPT.block_size = 64\nGPT.forward = torch.compile(GPT.forward)",
    "a local name like an import's": "import math\n\n\ndef f(math):\n    math.max_iters = 3\n    math.cos = 4",
    "a local name like the harness": "def f(harness):\n    harness.loss = 3",
    "match": "match 3:\n    case GPTConfig(n_layer=n) | n if n > 2:\n        x = n\n    case _:\n        x = 0",
    "TF32": "torch.backends.cuda.matmul.allow_tf32 = True\ntorch.backends.cudnn.benchmark = True",
    "cudnn by name": "from torch.backends import cudnn\ncudnn.deterministic = True",
    "precision": "torch.set_float32_matmul_precision('high')\ntorch.set_num_threads(1)",
    "dynamo": "import torch._dynamo\ntorch._dynamo.config.suppress_errors = True",
    "inductor": "import torch._inductor.config as ic\nic.coordinate_descent_tuning = True",
    "inductor's flags": "import torch._inductor.config as ic\nfor k, v in {}.items():\n    setattr(ic, k, v)",
    "fork_rng": "with torch.random.fork_rng():\n    x = torch.rand(3)\ny = torch.get_rng_state(), torch.initial_seed()",
    "an unseeded generator": "import numpy as np\nimport random\nx = np.random.default_rng(), random.Random()",
    "a module of its own called Random": "class Random:\n    def __init__(self, n):\n        self.n = n\n\n\nRandom(3)",
    "an attribute called seed": "class C:\n    def f(self, seed):\n        self.seed = seed\n        return self.seed + 1",
    "a function called seed": "def seed(x):\n    return x\n\n\nseed(3)",
    "signature": "import inspect\nx = 'fused' in inspect.signature(torch.optim.AdamW).parameters",
    "find_spec": "import importlib.util\nx = importlib.util.find_spec('flash_attn') is not None",
    "version": "from importlib.metadata import version\nx = version('torch')",
    "environment": "import os\nimport sys\nos.environ['X'] = '1'\nsys.path.insert(0, '.')\nsys.stdout = sys.stderr",
    "sys.modules asked": "import sys\nx = 'google.colab' in sys.modules or 'x' not in sys.modules",
    "gc": "import gc\ngc.collect()\ngc.disable()",
    "warnings": "import warnings\nwarnings.filterwarnings('ignore')\nwarnings.showwarning = print",
    "a word in a text": "print('globals() and exec() and __dict__ are not used')",
    "a clock": "import time\nstart = time.time()\ntime_of_start = time.perf_counter",
    "nonlocal": "def f():\n    n = 1\n\n    def g():\n        nonlocal n\n        n += 1\n    return g",
    "a global of its own": "state = 0\n\n\ndef f():\n    global state\n    state = 1",
    "weights": "m = GPT(GPTConfig())\nm.lm_head.weight = m.wte.weight\nm.blocks[0].gate = 1\nm.wte.weight.data[0] = 0",
    "asynchronous": "async def f(x):\n    async with x as y:\n        return [z async for z in y]",
}


@pytest.mark.parametrize("code", HONEST.values(), ids=HONEST)
def test_honest_code_is_let_through_in_both_files(code):
    assert checked(train=code.replace("block_size = 64", "size = 64")) is None
    assert checked(model=code) is None


@pytest.mark.parametrize("field", ["block_size: int = 64", "n_layer: int = 4", "max_iters: int = 3"])
def test_a_field_of_a_class_in_the_model_file_may_have_a_settings_name(field):
    code = (
        f"@dataclass\nclass Other:\n    {field}\n\n    def f(self, block_size):\n        self.block_size = block_size"
    )
    assert checked(model=code) is None
    assert checked(model=code, evaluator=SHAKESPEARE) is None


def test_a_module_passed_to_a_function_is_not_followed():
    """A gap that the module's docstring names: what is observed while it runs stands behind it."""
    assert checked(train="def patch(m):\n    m.batches = None\n\n\npatch(harness)") is None


# ---- where the setting is bound ----


@pytest.mark.parametrize("name", TINY.spec.settings)
def test_an_annotated_setting_with_its_value_is_accepted(name):
    value = TINY.spec.settings[name]
    train = TINY.baseline[TRAIN].replace(f"{name} = {value}", f"{name}: int = {value}")
    assert train != TINY.baseline[TRAIN]
    assert static.check({**TINY.baseline, TRAIN: train}, TINY) is None
    wrong = train.replace(f"{name}: int = {value}", f"{name}: int = {value} + 1")
    assert_refused(static.check({**TINY.baseline, TRAIN: wrong}, TINY), f"{name}: expected {value}, found {value} + 1")
    bare = train.replace(f"{name}: int = {value}", f"{name}: int")
    assert_refused(static.check({**TINY.baseline, TRAIN: bare}, TINY), f"{name}: expected {value}, found no plain")


LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=2) | st.tuples(inner) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=3,
)


@settings(deadline=None)
@given(data=st.data(), evaluator=st.sampled_from([TINY, SHAKESPEARE]), value=LITERALS, annotated=st.booleans())
def test_every_setting_with_any_literal_but_its_own_is_refused_with_its_name(data, evaluator, value, annotated):
    name, expected = data.draw(st.sampled_from(sorted(evaluator.spec.settings.items())))
    spelled = f"{name}{': object' * annotated} = {value!r}"
    train = evaluator.baseline[TRAIN].replace(f"{name} = {expected}", spelled, 1)
    failure = static.check({**evaluator.baseline, TRAIN: train}, evaluator)
    if type(value) is type(expected) and value == expected:
        assert failure is None
    else:
        assert_refused(failure, f"{name}: expected {expected}, found ", " on line ")


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from([*(code for code, _ in OPEN.values()), *SEEDS.values(), *PROTECTED_ATTRIBUTES.values()]),
    st.sampled_from([TRAIN, MODEL]),
    st.lists(st.sampled_from(["", "    ", "# torch.manual_seed(7)", "        # exec('x')", "#" * 200]), max_size=9),
)
def test_comments_and_blank_lines_change_no_verdict(code, file, lines):
    text = f"{TINY.baseline[file]}\n\n{code}\n"
    spaced = "\n".join(lines) + "\n" + text.replace("\n\n\n", "\n\n" + "\n".join(lines) + "\n\n") + "\n".join(lines)
    before, after = (static.check({**TINY.baseline, file: each}, TINY) for each in (text, spaced))
    assert before is not None
    assert after is not None
    assert before.status == after.status
    assert before.reason.split(" on line ")[0] == after.reason.split(" on line ")[0]


def test_the_first_way_round_of_the_train_file_is_told_first():
    both = checked(train="x = 1\nglobals()\nexec('x')", model="torch.manual_seed(7)")
    assert_refused(both, "globals()")


# ---- code nested too deep, and code that is only large ----

DEEP = {
    "sum": "x = " + "+".join(["globals()"] * 2000),
    "attributes": "x = torch" + ".a" * 1500 + "\ntorch" + ".a" * 1500 + ".max_iters = 9",
    "calls": "x = f" + "()" * 1500 + "\nf" + "()" * 1500 + ".max_iters = 9",
    "subscripts": "x" + "[0]" * 1500 + ".max_iters = 9",
    "elif": "if 0: pass\n" + "".join(f"elif {n}: exec\n" for n in range(800)),
    "setattr": "setattr(x" + ".a" * 1500 + "(), 'max_iters', " + "+".join(["1"] * 1500) + ")",
    "seed": "torch.manual_seed(" + "+".join(["1"] * 1500) + ")",
    "long names": f"import os\nos.{'a' * 5000}.max_iters = 9",
}


@pytest.mark.parametrize("code", DEEP.values(), ids=DEEP)
def test_deep_code_is_refused_in_one_short_line_and_nothing_raised(code):
    assert_refused(checked(train=code))
    assert_refused(checked(model=code))


def test_names_that_stand_for_each_other_end():
    chain = "".join(f"a{n} = a{n + 1}.x\nb = a{n}.y\na{n + 1} = b.z\n" for n in range(100))
    assert checked(model=f"import os as a0\n{chain}x = x.next\nfor x in [x, x.y, x.z]: pass\n") is None
    long = "".join(f"a = a{'.y' * 900}{n}\na = a.x{n}\n" for n in range(60))
    assert checked(model=f"import os as a\n{long}") is None
    nested = "x = " + "[0 for y in " * 60 + "z" + "]" * 60
    assert checked(model=nested) is None
    assert checked(train="f = " + "lambda: " * 80 + "0") is None
