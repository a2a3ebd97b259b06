import subprocess

import pytest

from tests.support.scripted_judge import scripted_judge


@pytest.fixture
def server():
    with scripted_judge() as server:
        yield server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    try:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=DNS:localhost,DNS:judge.example"),
                *("-keyout", "key.pem", "-out", "certificate.pem"),
            ],
            cwd=folder,
            check=True,
            capture_output=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return folder / "certificate.pem", folder / "key.pem"
