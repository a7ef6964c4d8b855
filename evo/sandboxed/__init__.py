"""What runs beside a candidate in its sandbox: launcher, training job, model server, harness.

These files are run from their folder with the standard library, torch, numpy and safetensors alone. They import nothing
of `evo`, hold no held-out token and no credential, and never decide what a score is.
"""
