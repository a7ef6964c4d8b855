from typer.testing import CliRunner

from evo.cli import doctor
from evo.cli.app import app
from evo.config import Config
from evo.trainer import isolation


def test_ports_that_other_machines_reach_are_told_with_what_closes_them():
    said = doctor._ports([("raylet", "0.0.0.0", 4001), ("gcs_server", "::", 4002), ("raylet", "127.0.0.1", 4003)])
    assert "other machines can reach port(s) 4001,4002" in said
    assert "sudo ufw deny proto tcp to any port 4001,4002" in said


def test_ports_on_loopback_need_nothing():
    assert doctor._ports([("raylet", "127.0.0.1", 4003)]).startswith("it listens only on the loopback address")


def test_the_doctor_says_why_nothing_stronger_than_a_process_works_and_what_that_does_not_stop(monkeypatch):
    stronger = isolation.LEVELS[1:]
    for level in stronger:
        monkeypatch.setattr(type(level), "missing", lambda self: f"no {self.name} here")
    fine, said = doctor._isolation(Config())
    assert fine
    assert said.startswith("process; ")
    assert "does not stop code from reading your files" in said
    assert all(f"not {level.name}: no {level.name} here" in said for level in stronger)


def test_the_doctor_names_the_level_that_was_asked_for_and_the_stronger_ones_that_were_not():
    _, said = doctor._isolation(Config(isolation="process"))
    assert said.startswith("process; ")
    assert all(f"not {level.name}: " in said for level in isolation.LEVELS[1:])


def test_the_doctor_checks_the_endpoint_that_the_options_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr(doctor, "_endpoint", lambda settings: seen.append(settings.model[0]) or (True, "seen"))
    for check in ("_device", "_ray", "_isolation", "_data"):
        monkeypatch.setattr(doctor, check, lambda settings: (True, ""))
    done = CliRunner().invoke(app, ["doctor", "--model", "m", "--base-url", "http://localhost:8000/v1", "--json"])
    assert (done.exit_code, seen[0].name, seen[0].base_url) == (0, "m", "http://localhost:8000/v1")
