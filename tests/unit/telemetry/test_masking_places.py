"""Where secrets stand in scripts, settings, notebooks and command lines; and what is none."""

from __future__ import annotations

import pytest

from hpctrack.telemetry.provenance.masking import Masker
from hpctrack.telemetry.provenance.secret_values import MASK


@pytest.mark.parametrize(
    "text",
    [
        "setenv API_KEY planted12",
        "set -gx API_KEY planted12",
        "read -r API_TOKEN <<< planted12",
        "ENV API_KEY planted12",
        "aws configure set aws_secret_access_key planted12",
        "export API_KEY=$'planted12'",
        "export API_KEY=\"a\"planted12'b'",
        "curl -sSfu me:planted12 https://host",
        "docker login -u me -p planted12 host",
        "unzip -P planted12 data.zip",
        "7z x -pplanted12 data.7z",
        "ssh-keygen -t ed25519 -N 'planted 12' -f key",
        "openssl enc -aes-256-cbc -k planted12",
        "lftp -u me,planted12 host",
        "http -a me:planted12 GET host",
        "wandb login planted12",
        "machine host\n\tlogin me\n\taccount a\n\tpassword planted12\n",
        "machine host password planted12 login me",
        "<password>planted12</password>",
        "password: |\n  planted12\n  planted34\n",
        "user_pw = planted12",
        "login ${API_TOKEN:-planted12}",
        "command: env API_KEY=planted12 python train.py",
        "export DBPASS=planted",
        "ROOTPASS='planted'",
        "SMTPPASS=planted",
        "userpass: planted",
        "rootpw = planted",
        "x --dbpass planted",
        "x --dbpass=planted",
        "x --pin planted12",
        "echo planted | docker login --password-stdin",
        "echo -n 'planted a' | docker login -u me --password-stdin host",
        "printf '%s\\n' \"planted\" | kinit me",
        "echo me:planted | sudo chpasswd",
        "kinit me <<< planted",
        "read -s PW <<< planted",
        "read -rs word <<< 'planted a'",
        "docker login --password-stdin host <<< planted",
        "API_KEY=\\\nplanted12",
        "export HF_TOKEN=\\\n'planted a'",
        "x --token \\\n    planted --lr 0.1",
        "https://api.telegram.org/bot123:planted12/sendMessage",
        "https://firm.webhook.office.com/webhookb2/planted12",
    ],
)
def test_places_in_scripts_and_settings(text: str) -> None:
    found = Masker().text(text)
    assert "planted" not in found
    assert MASK in found
    assert len(found.splitlines()) == len(text.splitlines())
    added = "".join(f"+{line}\n" for line in text.splitlines())
    diff = Masker().diff(f"diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -0,0 +1 @@\n{added}")
    assert "planted" not in diff
    assert diff.count("\n+") == 1 + added.count("\n")


@pytest.mark.parametrize(
    "text",
    [
        'parser.add_argument("--token", default="planted12")',
        '@click.option(\n    "--api-key",\n    "-k",\n    default="planted12",\n)',
        'token = "" + "planted12"',
        'token = given or "planted12"',
        'token: str = Field(default="planted12")',
        'TOKEN = (\n    "planted12"\n)',
        'password = """planted12"""',
        'auth=("me", "planted12")',
        '#define API_KEY "planted12"',
        'connect("host=h password=planted12 user=me")',
        # a notebook
        '    "os.environ[\\"API_KEY\\"] = \\"planted12\\"\\n",',
        '    "!export API_KEY=planted12\\n",',
        '    "%env API_KEY planted12\\n",',
    ],
)
def test_places_in_code(text: str) -> None:
    found = Masker().text(text, is_code=True)
    assert "planted" not in found
    assert found.replace(MASK, "planted12") == text


@pytest.mark.parametrize(
    "command",
    [
        ["mpiexec", "-genv", "API_KEY", "planted12", "python"],
        ["train", "password", "planted12"],
        ["train", "--pw", "planted"],
        ["train", "--dbpass", "planted"],
        ["train", "--dbpass=planted"],
        ["train", "db.rootpass=planted"],
        ["train", "--pin", "planted12"],
        ["train", "--pin=planted12"],
        ["train", "--user", "me:planted12"],
        ["train", "--login=me:planted12"],
        ["curl", "-sSfu", "me:planted12"],
        ["curl", "-ume:planted12"],
        ["wandb", "login", "planted12"],
        ["unzip", "-P", "planted", "data.zip"],
        ["aws", "configure", "set", "aws_secret_access_key", "planted12"],
    ],
)
def test_places_in_command_lines(command: list[str]) -> None:
    found = Masker().arguments(command)
    assert "planted" not in " ".join(found)
    assert len(found) == len(command)


ORDINARY = (
    "--max-tokens 4k", "--total_tokens 300_000_000_000", "--tokens=10B",
    "--train_tokens=1234567890123",
    "num_tokens_per_step=2_000_000", "--tokens-per-batch 0.5M", "--num-keys 12345678",
    "--special-tokens <a>,<b>", "pad_token='<pad>'", "--eos-token </s>", "sort_key=name",
    "--key=train_loss", "--key train_loss_2", "cache_key=resnet50-v2", "data_key=image",
    "license=Apache-2.0", "password_file=/etc/x", "signature=Adam", "lr=3e-4",
    "--lr 1e-4", "run_name=ResNet50_v2_lr1e-4_bs256_seed42",
    "CUDA_VISIBLE_DEVICES=GPU-8a6e1c5e-7f0b-1b5c-9c0a-1234567890ab", "SLURM_JOB_ID=123456789",
    "SLURM_NODELIST=nid[001234-001239,001400]",
    "git commit 5b6c2c1a5b6c2c1a5b6c2c1a5b6c2c1a5b6c2c1a",
    "--revision 5b6c2c1a5b6c2c1a5b6c2c1a5b6c2c1a5b6c2c1a",
    "LM_LICENSE_FILE=27000@lic1:27000@lic2.site", "SSH_AUTH_SOCK=/tmp/ssh-x/agent.1",
    "bypass=planted", "--bypass=every_cache7", "compass=north12", "passes=3", "--num-passes 12",
    "npasses=planted9", "pin_memory=True", "--pin-memory", "--pin-memory-device cuda12",
    "spin=up_down12", "--pin core", "--pin=0-31", "pin=13", "forwardpass=planted12",
    "lowpass=butter24", "--highpass butter24", "passthrough=gpu12345", "surpass=human12345",
    "password_file=/run/secrets/a", "--password-file /run/secrets/a", "shopping=cart12345",
    "echo planted | tee a", "python x.py <<< planted", "I_MPI_PIN_DOMAIN=omp:compact",
    "I_MPI_PIN=1",
    "docker run -p 8080:80", "srun -pgpu2", "sbatch -pGPU", "sbatch -p a100_80",
)  # fmt: skip


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_values_stay(text: str) -> None:
    assert Masker().arguments(text.split(" ")) == text.split(" ")
    assert Masker().text(text) == text


@pytest.mark.parametrize(
    "line",
    [
        "wandb login && python train.py",
        "wandb login --relogin $WANDB_API_KEY",
        "export HF_TOKEN=$(cat ~/.token)",
        "export HF_TOKEN=`cat ~/.token`",
        'export HF_TOKEN="$(cat ~/.token)"',
        "export PGPASSWORD=${PASSWORD:-}",
        "login ${API_TOKEN:?is not set} ${API_TOKEN:-$OTHER_TOKEN}",
        "curl -u $NAME:$PASSWORD https://host",
        "read -r API_TOKEN < ~/.token",
        'read -rs API_TOKEN <<< "$OTHER"',
        'echo "$TOKEN" | docker login --password-stdin',
        "docker login --password-stdin < ~/.token",
        "export API_KEY=\\\n$OTHER",
        "x --token \\\n  --lr 0.1",
        "x --out \\\n  planted12",
        "unset API_TOKEN WANDB_API_KEY",
    ],
)
def test_lines_of_scripts_that_say_where_a_secret_is_stay(line: str) -> None:
    assert Masker().text(line) == line


def test_what_is_taken_where_a_variable_is_not_set_is_hidden_alone() -> None:
    line = "login ${API_TOKEN:-planted12}/x; export TOKEN=${API_TOKEN-planted13} A=1"
    expected = "login ${API_TOKEN:-***}/x; export TOKEN=${API_TOKEN-***} A=1"
    assert Masker().text(line) == expected


def test_numbers_of_jobs_and_devices_stay() -> None:
    for name, value in (
        ("PMI_JOBID", "d41d8cd98f00b204e9800998ecf8427e"),
        ("CUDA_VISIBLE_DEVICES", "GPU-8a6e1c5e-7f0b-1b5c-9c0a-1234567890ab"),
        ("MODEL_KEY", "llama3-8b"),
        ("HF_TOKEN_PATH", "/home/me/.cache/token"),
    ):
        assert Masker().variable(name, value) == value
    assert Masker().variable("HF_TOKEN_PATH", "planted12") == MASK


def test_a_value_in_the_next_line_is_hidden_as_it_was_and_as_it_is() -> None:
    head = "diff --git a/job.sh b/job.sh\n--- a/job.sh\n+++ b/job.sh\n@@ -1,3 +1,3 @@\n"
    for lines in (
        (" export KEY=\\", "-planted01", "+planted02", " true"),
        ("-export API_KEY=\\", "-planted01", "+export DBPASS=\\", "+planted02", " true"),
        (" x --token \\", "-  planted01 \\", "-  --lr 1", "+  planted02 \\", "+  --lr 2"),
    ):
        found = Masker().diff(head + "\n".join(lines) + "\n")
        expected = "\n".join(lines).replace("planted01", MASK).replace("planted02", MASK)
        assert found == head + expected + "\n"


def test_a_changed_script_tells_neither_the_old_nor_the_new_word() -> None:
    head = "diff --git a/job.sh b/job.sh\n--- a/job.sh\n+++ b/job.sh\n@@ -1 +1 @@\n"
    found = Masker().diff(f"{head}-export DBPASS=planted01\n+export DBPASS=planted02\n")
    assert found == f"{head}-export DBPASS={MASK}\n+export DBPASS={MASK}\n"


def test_a_short_number_is_hidden_where_it_lets_somebody_in() -> None:
    assert Masker().arguments(["x", "--pin", "4711"]) == ["x", "--pin", MASK]
    assert Masker().variable("CARD_PIN", "471199") == MASK
    assert Masker().variable("SMTPPASS", "planted") == MASK
