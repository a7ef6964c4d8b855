"""Code that runs with a candidate inside its sandbox: launcher, training job, model server and harness.

These files run from their own folder and use only the standard library, torch, numpy and safetensors. They import nothing
from `evo`, contain no held-out tokens or credentials, and never compute a score.
"""
