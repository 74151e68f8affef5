"""Secrets are left out, and what is none is left alone."""

from __future__ import annotations

import random
import string
import time

import pytest

from hpctrack.telemetry.provenance.masking import Masker, count_masked
from hpctrack.telemetry.provenance.secret_names import is_secret_name
from hpctrack.telemetry.provenance.secret_values import MASK, is_random

DRAWN = string.ascii_letters + string.digits
CHANCE = random.Random(7)  # the same names of tests in every process


def draw(length: int, letters: str = DRAWN) -> str:
    return "".join(CHANCE.choice(letters) for _ in range(length))


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "MYSQL_PWD", "DB_PASS",
        "SSHPASS", "GITHUB_PAT", "authToken", "awsSecretAccessKey", "--api-key", "x-api-key",
        "Authorization", "client_secret", "SESSION_COOKIE", "private_key", "PASSPHRASE",
        "CREDENTIALS",
        "db.password", "apikey", "JWT", "SIGNING_KEY", "sentry_dsn", "my-secret-thing", "oauth",
    ],
)  # fmt: skip
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "PWD", "OLDPWD", "PATH", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "--tokenizer",
        "keyboard",
        "monkey", "PAT_RT_SUMMARY", "SLURM_JOB_PARTITION", "PYTHONHASHSEED", "bypass", "compass",
        "author", "--author", "keyframes", "NCCL_DEBUG", "passthrough",
    ],
)  # fmt: skip
def test_other_names_are_not(name: str) -> None:
    assert not is_secret_name(name)


KNOWN_MAKES = [
    "AKIA" + draw(16, string.ascii_uppercase + string.digits),
    "ASIA" + draw(16, string.ascii_uppercase + string.digits),
    "ghp_" + draw(36), "gho_" + draw(36), "github_pat_" + draw(22) + "_" + draw(59),
    "glpat-" + draw(20), "hf_" + draw(34), "sk-" + draw(48), "sk-proj-" + draw(60),
    "sk-ant-api03-" + draw(80), "xoxb-" + draw(12, string.digits) + "-" + draw(24),
    "AIza" + draw(35), "npm_" + draw(36), "pypi-" + draw(60), "nvapi-" + draw(60),
    "sk_live_" + draw(24),
    "SG." + draw(22) + "." + draw(43), "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0." + draw(43),
    "dckr_pat_" + draw(27), "hvs." + draw(24),
]  # fmt: skip


@pytest.mark.parametrize("value", KNOWN_MAKES, ids=lambda one: one[:6])
@pytest.mark.parametrize(
    "place",
    ["{}", "x {} y", "--flag={}", '"{}"', "url?x={}&y=1", "# see {}", "a:{}", "({})", "[{}]"],
)
def test_keys_of_known_make_are_hidden_under_any_name(value: str, place: str) -> None:
    text = place.format(value)
    masker = Masker()
    for found in (
        masker.variable("OMP_PLACES", text),
        masker.text(text),
        masker.text(text, is_code=True),
        masker.arguments(["x", text])[1],
        masker.anything({"a": [text]})["a"][0],
        masker.diff(f"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n+{text}\n"),
    ):
        assert value not in found
        assert MASK in found


def test_nearly_all_drawn_text_is_recognised_and_no_word_is() -> None:
    drawn = [draw(length) for length in (24, 32, 40, 64) for _ in range(500)]
    assert sum(map(is_random, drawn)) >= 0.95 * len(drawn)
    words = [
        "ResNet50_v2_lr1e-4_wd1e-5_bs256", "test_reader_ignores_a_torn_last_block",
        "MyVeryLongClassNameForTheTrainer2", "libnvidia-ml.so.550.54.15", "SLURM_JOB_CPUS_PER_NODE",
        "/scratch/Project2023Data/MyRun12/checkpoint-000100", "0123456789012345678901234567",
        "openmpi-4.1.4-ggraqw7sxqbkr4cnqxzx7ib5yqv4uxaq", "aarch64-linux-gnu-gcc-12-20240101",
    ]  # fmt: skip
    assert not [one for one in words if is_random(one)]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:pw@host/a.git", "https://***@host/a.git"),
        ("https://oauth2:p@ss@host/a.git", "https://***@host/a.git"),
        ("https://sometoken@host/a.git", "https://***@host/a.git"),
        ("postgresql://u:pa/ss@db:5432/x", "postgresql://***@db:5432/x"),
        ("redis://:pw@host:6379/0", "redis://***@host:6379/0"),
        ("ssh://git@host:22/a.git", "ssh://git@host:22/a.git"),
        ("ssh://git:pw@host/a.git", "ssh://***@host/a.git"),
        ("git@host:group/a.git", "git@host:group/a.git"),
        ("https://host:8443/a@v1", "https://host:8443/a@v1"),
        ("https://${USER}:${TOKEN}@host/a", "https://${USER}:${TOKEN}@host/a"),
    ],
)
def test_what_lets_somebody_in_is_taken_out_of_urls(url: str, expected: str) -> None:
    assert Masker().text(url) == expected
    assert Masker().anything(url) == expected


def test_options_of_a_command_line() -> None:
    command = (
        "python train.py --lr 0.1 --token=abc --api-key zzz --max-tokens 4096 --tokenizer bert -p4 "
        "-pthread -partition gpu -pS3cret! db.password=qq --use-auth --epochs 3 --env=API_KEY=xyz "
        "--pad-token <pad> PASSWORD=1234 --password 99"
    )
    expected = (
        "python train.py --lr 0.1 --token=*** --api-key *** --max-tokens 4096 --tokenizer bert -p4 "
        "-pthread -partition gpu -p*** db.password=*** --use-auth --epochs 3 --env=API_KEY=*** "
        "--pad-token <pad> PASSWORD=*** --password ***"
    )
    assert " ".join(Masker().arguments(command.split())) == expected


def test_programs_whose_options_do_not_say_that_they_are_secret() -> None:
    command = (
        "sshpass -p hunter mysql -u me -phunter curl -u me:pw docker login -p pw srun -p gpu x"
    )
    found = " ".join(Masker().arguments(command.split()))
    assert "hunter" not in found
    assert "pw" not in found
    assert Masker().arguments(["srun", "-p", "gpu", "x"]) == ["srun", "-p", "gpu", "x"]


def test_a_secret_is_hidden_wherever_else_it_turns_up() -> None:
    masker = Masker({"DB_PASSWORD": "correcthorse", "HOME": "/home/me"})
    assert masker.arguments(["x", "correcthorse", "pre-correcthorse-post"]) == [
        "x", MASK, f"pre-{MASK}-post",
    ]  # fmt: skip
    assert masker.anything({"correcthorse": "a"}) == {MASK: "a"}
    # Learned from a later word.
    assert Masker().arguments(["x", "battery9staple", "--token", "battery9staple"]) == [
        "x", MASK, "--token", MASK,
    ]  # fmt: skip


def test_an_ordinary_word_behind_a_name_is_not_hunted_for() -> None:
    masker = Masker()
    assert (
        masker.text("sort_key: validation\nvalidation: 1") == "sort_key: validation\nvalidation: 1"
    )
    assert masker.arguments(["x", "--key", "validation", "validation"])[3] == "validation"


SCRIPT = """#!/bin/bash
#SBATCH --job-name=train
#SBATCH --export=ALL,API_TOKEN=planted1a
export WANDB_API_KEY=planted1a
export HF_TOKEN="planted1a"
export FROM=$HF_TOKEN OTHER="$(cat ~/.token)" OMP_NUM_THREADS=8
curl -H "Authorization: Bearer planted1a" -u me:planted1a https://host
curl -H 'X-Api-Key: planted1a' "https://host/x?token=planted1a&y=1"
wandb login 0123456789abcdef0123456789abcdef01234567
git checkout fedcba9876543210fedcba9876543210fedcba98
echo '{"password": "planted1a", "a": "token=planted1a"}' > c.json
printf 'machine h login me password planted1a' > ~/.netrc
srun python train.py --token planted1a --lr 0.1 --password='planted1a'
sshpass -p planted1a ssh host
"""


def test_a_script_keeps_its_lines_and_loses_its_secrets() -> None:
    found = Masker().text(SCRIPT)
    assert "planted1a" not in found
    assert len(found.splitlines()) == len(SCRIPT.splitlines())
    for kept in (
        "#SBATCH --job-name=train", "OMP_NUM_THREADS=8", "--lr 0.1", 'OTHER="$(cat ~/.token)"',
        "git checkout fedcba9876543210fedcba9876543210fedcba98", "FROM=$HF_TOKEN",
    ):  # fmt: skip
        assert kept in found
    assert "login 0123456789abcdef" not in found


CODE = """
for key, value in sorted(x.items(), key=len): tokens = tokenizer(text, pad_token="<pad>")
api_key = os.environ["API_KEY"]; token: str | None = None
def f(key: str = "loss", auth=None, password=None): return key == "lr" or self.token
"""


def test_code_that_handles_secrets_is_left_as_it_is() -> None:
    assert Masker().text(CODE, is_code=True) == CODE


@pytest.mark.parametrize(
    "line",
    [
        'API_TOKEN = "planted"', "password: str = 'planted'", 'os.environ["HF_TOKEN"] = "planted"',
        'environ.setdefault("MY_TOKEN", "planted")', '{"client_secret": "planted"}',
        'f(token="planted")',
        '"db_password" => \'planted\'', 'const char *secret = "planted";',
    ],
)  # fmt: skip
def test_literals_in_code_are_hidden(line: str) -> None:
    assert "planted" not in Masker().text(line, is_code=True)


PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabcd=\n-----END RSA PRIVATE KEY-----"


def test_private_keys_are_hidden_and_a_diff_keeps_its_lines() -> None:
    assert "MIIE" not in Masker().text(f"x\n{PEM}\ny")
    added = "".join(f"+{line}\n" for line in PEM.splitlines())
    diff = f"diff --git a/k b/k\n--- a/k\n+++ b/k\n@@ -1,2 +1,6 @@\n before\n{added} after\n"
    found = Masker().diff(diff)
    assert "MIIE" not in found
    assert "abcd" not in found
    assert [one[:1] for one in found.splitlines()] == [one[:1] for one in diff.splitlines()]
    cut = Masker().text('K = """-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA')
    assert "MIIE" not in cut
    escaped = Masker().text(
        '"-----BEGIN PRIVATE KEY-----\\nMIIEpAIBAAKCAQEA\\n-----END PRIVATE KEY-----"'
    )
    assert "MIIE" not in escaped


def test_a_diff_of_settings_hides_bare_words_and_one_of_code_does_not() -> None:
    line = "+token: tokenizer_from_here\n"
    for name, is_hidden in (("a.yaml", True), (".env", True), ("a.py", False), ("a.rs", False)):
        head = f"diff --git a/{name} b/{name}\nindex {'0' * 40}..{'1' * 40} 100644\n"
        diff = f"{head}--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n{line}"
        found = Masker().diff(diff)
        assert (MASK in found) is is_hidden
        assert found.startswith(head)


def test_what_is_hidden_is_counted() -> None:
    assert count_masked({"a": ["***", "x ***=***"], "***": 1, "b": None}) == 4


@pytest.mark.slow
def test_a_megabyte_takes_a_moment_not_a_minute() -> None:
    text = ('key = "value" + token(a="b" * 3)  # ' + "x" * 60 + "\n") * 10_000
    began = time.monotonic()
    Masker({"A_TOKEN": "abc123def456"}).text(text, is_code=True)
    for hostile in ("a" * 100_000, "=" * 100_000, '"' * 100_000, "a=" * 50_000, "://" * 30_000,
                    "-----BEGIN PRIVATE KEY-----" * 2_500, "a:b@" * 25_000,
                    "-- " * 30_000):  # fmt: skip
        Masker().text(hostile)
    assert time.monotonic() - began < 120


def test_nothing_is_nothing() -> None:
    assert Masker().arguments([]) == []
    assert Masker().text("") == Masker().diff("") == ""
    assert Masker().variable("A_TOKEN", "") == ""
