"""A server of one page: on this machine, nothing but the page, anew when a file has changed."""

import http.client
import socket
import threading

import pytest

from m3i_jax.analysis.report import serve
from m3i_jax.build import ConfigError
from tests.analysis.report.places import parse, workdir


@pytest.fixture
def place(tmp_path):
    return workdir(tmp_path / "run")


@pytest.fixture
def ask(place):
    """ask(path, method=, host=) -> (status, headers, content)."""
    with serve.server([place]) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

        def ask(path, *, method="GET", host=None):
            line = http.client.HTTPConnection(serve.HOST, server.server_port, timeout=10)
            headers = {} if host is None else {"Host": host}
            line.request(method, path, headers=headers)
            answer = line.getresponse()
            return answer.status, answer.headers, answer.read().decode()

        ask.server = server
        yield ask
        server.shutdown()


def test_it_answers_on_this_machine_alone(ask):
    assert ask.server.server_address[0] == "127.0.0.1"
    status, headers, text = ask("/")
    assert status == 200 and parse(text).one("h1").text == "run"
    assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert (
        policy
        == parse(text).one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    )
    assert ask("/", method="HEAD")[2] == ""


@pytest.mark.parametrize(
    "path",
    [
        "/config.json",
        "/metrics.jsonl",
        "/../config.json",
        "/%2e%2e/x",
        "/images/",
        "/?x",
        "/state/",
    ],
)
def test_nothing_else_is_there(path, ask):
    assert ask(path)[0] == 404


@pytest.mark.parametrize("method, status", [("POST", 501), ("PUT", 501), ("DELETE", 501)])
def test_nothing_can_be_sent(method, status, ask):
    assert ask("/", method=method)[0] == status


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_another_name_for_this_machine_is_refused(host, ask):
    assert ask("/", host=host)[0] == 403 and ask("/state", host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:8111"])
def test_its_own_names_are_answered(host, ask):
    assert ask("/", host=host)[0] == 200


def test_a_file_that_has_changed_changes_page_and_version(ask, place):
    before, text = ask("/state")[2], ask("/")[2]
    assert ask("/state")[2] == before and ask("/")[2] == text
    with (place / "metrics.jsonl").open("a") as file:
        file.write('{"step": 41, "train/loss": 77.5}\n')
    assert ask("/state")[2] != before and "77.5" in ask("/")[2]


def test_what_is_gone_is_a_sentence(ask, place):
    place.rename(place.with_name("moved"))
    status, _, text = ask("/")
    assert status == 503 and "there is no" in text


def test_a_wrong_start_is_a_sentence(place):
    with socket.socket() as taken:
        taken.bind((serve.HOST, 0))
        taken.listen()
        with pytest.raises(ConfigError, match="expected one that is free"):
            serve.server([place], port=taken.getsockname()[1])
    with pytest.raises(ConfigError, match="there is no"):
        serve.server([place / "nowhere"])
