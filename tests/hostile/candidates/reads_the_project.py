"""Looks round in the project's folder, of which the sandbox sees a part: the interpreter and what runs inside.

It sees no more of it than that, no code that judges, no run and no test: it must end `ok`.
"""

TRIES = "lists the folder in which the interpreter and our package lie"
STATUS = "ok"
BEYOND = "it reads what its user may read"
CODE = """
project = KNOWS["project"]
tried("the project", lambda: sorted(os.listdir(project)))
tried("the package", lambda: sorted(os.listdir(project + "/evo")))
tried("the environment's folder", lambda: sorted(os.listdir(os.path.dirname(os.path.dirname(sys.executable)))))
tried("the project's file", read, project + "/pyproject.toml")
tried("the verifier", read, project + "/evo/verify/probes.py")
tried("the history", read, project + "/.git/HEAD")
"""
PRINTS = (
    r"tried the project -> got \['\.venv', 'evo'\]",
    r"tried the package -> got \['sandboxed'\]",
    "tried the project's file -> (ENOENT|EACCES)",
    "tried the verifier -> (ENOENT|EACCES)",
    "tried the history -> (ENOENT|EACCES)",
)
WORKS = (r"tried the project -> got .*pyproject\.toml", "tried the verifier -> got")
