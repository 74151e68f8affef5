"""Planted secrets never land in a file: every byte of the store is searched for them."""

from __future__ import annotations

import os
import random
import re
import string
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpctrack import Store
from hpctrack.core.settings import environment
from hpctrack.store.seal import seal_run
from hpctrack.telemetry.provenance.masking import Masker
from hpctrack.telemetry.provenance.rerun import Subject, make_plan
from tests.programs import list_agents, wait_for
from tests.repositories import make_repository

LETTERS = string.ascii_letters + string.digits

NAMES = (
    "API_KEY", "HF_TOKEN", "DB_PASSWORD", "client_secret", "GITHUB_PAT", "SSHPASS", "auth_cookie",
    "private_key", "MYSQL_PWD", "AWS_SECRET_ACCESS_KEY", "credential", "Authorization",
    "passphrase", "DBPASS", "rootpass", "SMTPPASS", "bindpw",
)  # fmt: skip
"""Names that give a secret away whatever it looks like."""

PROGRAM = """
import sys
import hpctrack
with hpctrack.init("p", config={"lr": 0.1}) as run:
    run.log({"loss": 1.0})
    if sys.stdin.readline():
        pass
"""


class Planter:
    """Makes secrets that are like no other text, and remembers them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.planted: list[str] = []

    def draw(self, length: int, letters: str = LETTERS) -> str:
        return "".join(self._random.choice(letters) for _ in range(length))

    def password(self) -> str:
        """Return one that only its name gives away."""
        return self._keep(self.draw(self._random.randint(9, 20), string.ascii_lowercase) + "7")

    def key(self) -> str:
        """Return one that its looks give away."""
        capitals = string.ascii_uppercase + string.digits
        makes = (
            lambda: f"AKIA{self.draw(16, capitals)}",
            lambda: f"ghp_{self.draw(36)}",
            lambda: f"github_pat_{self.draw(22)}_{self.draw(59)}",
            lambda: f"glpat-{self.draw(20)}",
            lambda: f"hf_{self.draw(34)}",
            lambda: f"sk-{self.draw(48)}",
            lambda: f"xoxb-{self.draw(12, string.digits)}-{self.draw(24)}",
            lambda: f"eyJ{self.draw(20)}.eyJ{self.draw(30)}.{self.draw(43)}",
            lambda: f"{self.draw(20)}a1B{self.draw(25)}",
        )
        return self._keep(self._random.choice(makes)())

    def any(self) -> str:
        return self.key() if self._random.random() < 0.5 else self.password()

    def name(self) -> str:
        return self._random.choice(NAMES)

    def _keep(self, value: str) -> str:
        self.planted.append(value)
        return value


def plant_environment(planter: Planter) -> dict[str, str]:
    names = [re.sub(r"\W", "_", one) for one in NAMES]
    named = {f"OMP_{number}_{name}": planter.password() for number, name in enumerate(names)}
    return {
        **named,
        **{name: planter.any() for name in names},
        "NCCL_HIDDEN": planter.key(),
        "OMP_HIDDEN": f"a,{planter.key()},b",
        "UCX_URL": f"https://me:{planter.password()}@host/x?token={planter.password()}",
        "SLURM_EXPORT": f"ALL,API_KEY={planter.password()}",
        "PYTHONX": f"--token {planter.password()}",
        "MY_EXTRA": planter.key(),
    }


def plant_arguments(planter: Planter) -> list[str]:
    return [
        f"--token={planter.password()}", "--api-key", planter.password(), planter.key(),
        f"db.password={planter.password()}", f"--url=postgres://u:{planter.password()}@db/x",
        f"--env=HF_TOKEN={planter.password()}", "sshpass", "-p", planter.password(),
        "curl", "-u", f"me:{planter.password()}", "-H", f"Authorization: Bearer {planter.key()}",
        "mysql", f"-p{planter.password()}", f'{{"password": "{planter.password()}"}}',
    ]  # fmt: skip


def plant_text(planter: Planter) -> str:
    return "".join(
        [
            f"export {planter.name()}={planter.password()}\n",
            f"export TOKEN='{planter.any()}' OTHER=1\n",
            f'curl -H "X-Auth-Token: {planter.password()}" https://u:{planter.password()}@host/\n',
            f"srun python x.py --api-key {planter.password()} --secret={planter.password()}\n",
            f"echo {planter.password()} | docker login --password-stdin\n",
            f"kinit <<< {planter.password()}\nread -s PW <<< {planter.password()}\n",
            f"export MY_TOKEN=\\\n{planter.password()}\n",
            f"# remember: {planter.key()}\n",
            f"machine host login me password {planter.password()}\n",
            f"-----BEGIN OPENSSH PRIVATE KEY-----\n{planter.key()}\n{planter.password()}\n",
            "-----END OPENSSH PRIVATE KEY-----\n",
        ]
    )  # fmt: skip


def plant_code(planter: Planter) -> str:
    return "".join(
        [
            f'{planter.name()} = "{planter.password()}"\n',
            f"API_TOKEN: str = '{planter.password()}'\n",
            f'os.environ["HF_TOKEN"] = "{planter.password()}"\n',
            f'login(password="{planter.password()}", key="{planter.key()}")\n',
            f"# {planter.key()}\n",
            f'URL = "https://x:{planter.password()}@host/a.git"\n',
            f'KEY = """-----BEGIN PRIVATE KEY-----\n{planter.key()}\n',
            '-----END PRIVATE KEY-----"""\n',
        ]
    )


def everything_in(folder: Path) -> bytes:
    """Return all bytes of all files, and what is compressed in them."""
    found: list[bytes] = []

    def add(_name: str, thing: object) -> None:
        found.append(content_of(thing))

    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        found += [path.name.encode(), path.read_bytes()]
        if path.suffix == ".h5":
            with h5py.File(path, "r", swmr=path.name != "run.h5", locking=False) as file:
                file.visititems(add)
                found.append(repr(dict(file.attrs)).encode())
    return b"\0".join(found)


def content_of(thing: object) -> bytes:
    if not isinstance(thing, h5py.Dataset):
        return b""
    value = thing[()]
    return bytes(value) if isinstance(value, bytes) else np.ascontiguousarray(value).tobytes()


def assert_nothing_leaked(planter: Planter, data: bytes) -> None:
    assert len(planter.planted) > 20
    leaked = [one for one in planter.planted if one.encode() in data]
    assert not leaked


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(one, marks=pytest.mark.slow) for one in range(1, 4))]
)
def test_planted_secrets_are_in_no_file_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    planter = Planter(seed)
    code = make_repository(
        tmp_path / "code",
        train__py=PROGRAM,
        old__py="x = 1\n",
        run__sh="true\n",
        set__yaml="a: 1\n",
    )
    code.git("remote", "add", "origin", f"https://me:{planter.password()}@host/a.git")
    code.git(
        "remote", "add", "other", f"https://{planter.key()}@host/a.git?token={planter.password()}"
    )
    code.write("old.py", plant_code(planter))
    code.write("run.sh", plant_text(planter))
    code.write(
        "set.yaml", f"password: {planter.password()}\nnested:\n  api_key: {planter.password()}\n"
    )
    unused = "".join(f"    {line}\n" for line in plant_code(planter).splitlines())
    code.write("new.py", f"{PROGRAM}\ndef unused():\n{unused}")
    # The batch shell's own copy of a script, as slurmd lays it.
    spool = tmp_path / "job00042" / "slurm_script"
    spool.parent.mkdir()
    start = '"$PYTHON" "$@" < "$FIFO" & wait $!\n'
    spool.write_text("#!/bin/bash\nif false; then\n" + plant_text(planter) + "fi\n" + start)
    monkeypatch.setenv("HPCTRACK_PROVENANCE", "auto")
    monkeypatch.setenv("HPCTRACK_PROVENANCE_ENV", "MY_*")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    environ = {**environment(), **plant_environment(planter), "SLURM_JOB_ID": "42",
               "PYTHON": sys.executable, "FIFO": str(fifo)}  # fmt: skip
    store = tmp_path / "store"
    script = "train.py" if seed % 2 else "new.py"
    with subprocess.Popen(
        ["/bin/bash", str(spool), script, *plant_arguments(planter)], cwd=code.top, env=environ
    ) as child:
        with fifo.open("w") as end:

            def has_all() -> bool:
                runs = list(Store(store).runs()) if store.is_dir() else []
                told = runs[0].provenance if runs else {}
                for one in runs:
                    one.close()
                return {"git", "job_script", "environment", "program"} <= set(told)

            wait_for(has_all, timeout_s=60)
            assert_nothing_leaked(planter, everything_in(store))
            end.write("\n")
        assert child.wait(60) == 0
    wait_for(lambda: not list_agents())
    run = Store(store).runs()[0]
    seal_run(run.folder, force=True)
    run = Store(store).runs()[0]
    assert run.is_sealed
    told = run.provenance
    assert told["job_script"]["from"] == "spool"
    assert "diff" in told["git"]
    assert ("source" in told) is (script == "new.py")
    assert told["masked"] > 20
    assert_nothing_leaked(planter, everything_in(tmp_path / "store"))
    # Nor in what the agent says, nor in what a rerun is made of.
    assert_nothing_leaked(planter, everything_in(Path(environ["HPCTRACK_RUNTIME_DIR"])))
    subject = Subject(id=run.id, project="p", config=run.config, provenance=told)
    assert_nothing_leaked(planter, make_plan(subject).embed().encode("utf-8", "surrogateescape"))


words = st.text(string.ascii_letters + string.digits, min_size=8, max_size=40).filter(
    lambda one: any(map(str.isalpha, one)) and any(map(str.isdigit, one)) and not one.isdigit()
    and not re.fullmatch(r"[-+]?[\d_.]{1,7}(?:e[-+]?\d+)?", one)
)  # fmt: skip
names = st.sampled_from(NAMES)
noise = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@given(name=names, value=words, before=noise, after=noise)
def test_behind_the_name_of_a_secret_nothing_survives(
    name: str, value: str, before: str, after: str
) -> None:
    masker = Masker()
    variable = re.sub(r"\W", "_", name)
    assert value not in masker.variable(variable, value)
    assert value not in " ".join(Masker().arguments([before, f"--{name}", value, after]))
    assert value not in " ".join(Masker().arguments([before, f"--{name}={value}", after]))
    for form in (
        "{n}={v}",
        "{n}='{v}'",
        '{n}: "{v}"',
        "{n} = {v}",
        "export {n}={v};",
        '"{n}": "{v}"',
    ):
        text = f"{before}\n{form.format(n=variable, v=value)}\n{after}"
        assert value not in Masker().text(text)


@given(text=st.text(max_size=300))
def test_hiding_never_fails_and_keeps_the_lines(text: str) -> None:
    found = Masker().text(text)
    assert found.count("\n") == text.count("\n")
    assert Masker().text(text, is_code=True).count("\n") == text.count("\n")
    Masker().arguments(text.split(" "))
    assert Masker().diff(text).count("\n") == text.count("\n")


@given(text=st.text(max_size=300))
def test_what_is_hidden_once_stays_as_it_is(text: str) -> None:
    once = Masker().text(text)
    assert Masker().anything(once) == once
