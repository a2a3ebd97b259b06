"""`rvpo-verl report`: the file, and the server for a run that is still going."""

import http.client
import threading

import pytest
from typer.testing import CliRunner

from rvpo_verl.cli import app
from rvpo_verl.report.serve import server
from tests.support.report_run import write_run


def test_the_command_writes_one_file_and_says_what_is_in_it(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "rollouts/2.jsonl").open("a").write("damaged\n")
    out = tmp_path / "pages/report.html"
    done = CliRunner().invoke(app, ["report", str(run), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "36 groups" in done.output and "rollouts/2.jsonl, line 49: left out" in done.output
    assert out.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("arguments", [["{absent}"], ["{run}", "{run}", "--rollouts", "{run}"]])
def test_what_cannot_be_shown_is_refused(tmp_path, arguments):
    run = write_run(tmp_path / "run", steps=1)
    arguments = [argument.format(run=run, absent=tmp_path / "absent") for argument in arguments]
    done = CliRunner().invoke(app, ["report", *arguments, "--out", str(tmp_path / "x.html")])
    assert done.exit_code == 2
    assert not (tmp_path / "x.html").exists()


@pytest.fixture
def served(tmp_path):
    watched, made = tmp_path / "file", []
    watched.write_text("1")
    running = server(
        lambda: made.append(1) or f"page {len(made)} of {watched.read_text()}", lambda: [watched]
    )
    thread = threading.Thread(target=running.serve_forever)
    thread.start()

    def get(path="/", host=None):
        connection = http.client.HTTPConnection("127.0.0.1", running.server_port, timeout=10)
        connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{running.server_port}"})
        response = connection.getresponse()
        return response.status, response.read().decode()

    yield get, watched
    running.shutdown()
    thread.join(10)
    running.server_close()


def test_a_served_page_is_made_again_only_when_the_run_went_on(served):
    get, watched = served
    assert get() == (200, "page 1 of 1")
    assert get() == (200, "page 1 of 1")
    watched.write_text("1 and more")
    assert get() == (200, "page 2 of 1 and more")


def test_only_the_page_is_served_and_only_under_a_name_of_this_machine(served):
    get, _ = served
    assert get("/etc/passwd")[0] == 404
    assert get(host="attacker.example:80")[0] == 421
    assert get(host="localhost:80")[0] == 200
