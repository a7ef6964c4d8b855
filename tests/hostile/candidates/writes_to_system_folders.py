"""Makes files in the system's folders and in those of the installed packages, where the next interpreter would run them.

All are read-only: it must end `ok`.
"""

TRIES = "writes to /etc, to the installed packages and to our own code that runs in sandboxes"
STATUS = "ok"
BEYOND = "it writes where its user may write"
CODE = """
import train_job
inside = os.path.dirname(train_job.__file__)
programs = os.path.dirname(sys.executable)
for folder in ("/", "/etc", "/usr/lib", "/usr/local", "/opt", "/run", "/var/tmp", "/dev", KNOWS["site"], programs, inside):
    tried(folder, pathlib.Path(folder, KNOWS["tag"] + ".pth").write_text, "import os")
for path in ("/usr/bin/env", KNOWS["site"] + "/torch/__init__.py", inside + "/launcher.py", sys.executable):
    tried("to change " + path, os.open, path, os.O_RDWR)
    tried("to own " + path, os.chmod, path, 0o777)
tried("to remove a package", os.rename, KNOWS["site"] + "/numpy", KNOWS["site"] + "/" + KNOWS["tag"])
"""
PRINTS = (
    "tried /etc -> (EROFS|EACCES|ENOENT)",
    "tried /.*site-packages -> (EROFS|EACCES)",
    "tried /.*sandboxed -> (EROFS|EACCES)",
    "to change /.*launcher.py -> (EROFS|EACCES)",
    "tried to remove a package -> (EROFS|EACCES)",
)
HIDES = "-> got"
