"""The fixed parts of the script that `hpctrack.telemetry.provenance.rerun` writes."""

HEAD = r"""set -euo pipefail
say() { printf 'rerun: %s\n' "$*" >&2; }

# 1. A folder for everything.
work=${1:-$PWD/$default}
mkdir -p "$work"
work=$(cd "$work" && pwd)
code=$work/code
"""

MODULES_STEP = r"""# The environment modules that were loaded.
if ! command -v module >/dev/null 2>&1; then
    for one in "${{LMOD_PKG:-/usr/share/lmod/lmod}}/init/bash" \
        "${{MODULESHOME:-/usr/share/modules}}/init/bash" /etc/profile.d/{{lmod,modules}}.sh; do
        # shellcheck disable=SC1090
        if [ -r "$one" ]; then set +u; . "$one"; set -u; break; fi
    done
fi
if command -v module >/dev/null 2>&1; then
    set +u
    module purge
{use}    module load {load} || say "not all modules could be loaded"
    set -u
else
    say "there are no environment modules here: {loaded}"
fi
"""

CODE_STEP = r"""# 2. The code: a commit, and what was not committed.
if [ ! -d "$code" ]; then
    for from in {places}; do
        say "cloning $from"
        if git clone --quiet --no-checkout "$from" "$code" &&
            git -C "$code" cat-file -e {commit}'^{{commit}}' 2>/dev/null; then
            break
        fi
        say "commit {commit} is not there"
        rm -rf "$code"
    done
    if [ ! -d "$code" ]; then
        say "no repository has commit {commit}: fetch it to $code"
        exit 1
    fi
    git -C "$code" checkout --quiet --detach {commit}
    if [ -f "$code/.gitmodules" ]; then
        git -C "$code" submodule --quiet update --init --recursive
    fi
    {apply}
fi"""

APPLY_STEP = """if ! {apply} "$files/changes.patch"; then
        rm -rf "$code"
        say "the changes do not fit the commit"
        exit 1
    fi"""

APPLY_PARTLY_STEP = """if ! {apply} --reject "$files/changes.patch"; then
        say "lines that look like secrets were not recorded: mend $code by its .rej files"
        say "then start this again"
        exit 1
    fi"""

SUBMODULE_STEP = """if ! git -C "$code"/{path} checkout --quiet --detach {commit}; then
        say "submodule" {path} "has no commit {commit}: fetch it there, then start this again"
        exit 1
    fi"""

CODE_LOCAL = """# 2. The code was in no git repository.
mkdir -p "$code\""""

PYTHON_STEP = r"""# 3. Python {version} with the same packages.
python=${{RERUN_PYTHON:-}}
recorded={recorded}
requirements={requirements}
same_packages() {{
    [ -z "$requirements" ] || "$1" - "$requirements" <<'PY'
import re, sys
from importlib.metadata import distributions
lines = [line.strip() for line in open(sys.argv[1])]
wanted = dict(line.split("==") for line in lines if re.match(r"[a-z0-9]\S*==\S+$", line))
have = {{}}
for one in distributions():
    have.setdefault(re.sub(r"[-_.]+", "-", one.metadata["Name"] or "").lower(), one.version)
other = sorted(name for name in wanted if have.get(name) != wanted[name])
if other:
    print("rerun: other versions there:", ", ".join(other[:8]), file=sys.stderr)
sys.exit(bool(other) or sys.version.split()[0] != "{version}")
PY
}}
if [ -z "$python" ] && [ -x "$recorded" ]; then
    if same_packages "$recorded"; then
        say "the recorded Python is here and unchanged: $recorded"
        python=$recorded
    fi
fi
if [ -z "$python" ]; then
    bin=$work/venv/bin
    if [ ! -x "$bin/python" ]; then
        base=$(command -v python{minor} || command -v python3)
        say "making a virtual environment of $("$base" --version)"
        "$base" -m venv "$work/venv"
        if [ -n "$requirements" ]; then
            "$bin/python" -m pip install --quiet --no-deps --requirement "$requirements"
        fi
{installs}    fi
    python=$bin/python
fi
bin=$(cd "$(dirname "$python")" && pwd)
"""

NO_PYTHON_STEP = r"""# 3. Nothing is known of a Python.
python=${RERUN_PYTHON:-$(command -v python3 || true)}
bin=$work/bin
mkdir -p "$bin"
"""

JOB_STEP = r"""if [ -z "${{RERUN_HERE:-}}" ] && command -v sbatch >/dev/null 2>&1; then
    # The job's script, with its folders where they are now.
    move_folders() {{
        if [ -z "$python" ]; then cat "$1"; return; fi
        "$python" - "$@" <<'PY'
import re, sys
text = open(sys.argv[1], encoding="utf-8", errors="surrogateescape", newline="").read()
for old, new in zip(sys.argv[2::2], sys.argv[3::2]):
    text = re.sub(re.escape(old) + r"(?![\w.-])", lambda found, new=new: new, text)
sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
PY
    }}
    move_folders "$files/job.sh" {moves} > "$work/job.sh"
    RERUN_SCRIPT=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)/$(basename "${{BASH_SOURCE[0]}}")
    export RERUN_SCRIPT RERUN_FOLDER="$work" RERUN_PYTHON="$python"
    cd "$start"
    exec sbatch {options} "$work/job.sh"
fi
"""

JOB_LINES = (
    "# Nobody gave Slurm a script: this one asks for what the job had.",
    'RERUN_HERE=1 exec bash "${RERUN_SCRIPT:?}" "${RERUN_FOLDER:?}"',
)

START_STEP = r"""# 5. The program.
if [ "${{RERUN_ONLY:-}}" = prepare ]; then
    say "prepared in $work"
    exit 0
fi
{asks}{job}cd "$start"
{line}
"""

LAUNCHER_STEP = r"""# {size} ranks; RERUN_LAUNCHER says what starts them, if not this.
launcher=${{RERUN_LAUNCHER-{default}}}
if [ -n "$launcher" ] && ! command -v "${{launcher%% *}}" >/dev/null 2>&1; then
    say "there is no ${{launcher%% *}} here: it is started as one process, not as {size}"
    launcher=
fi
# shellcheck disable=SC2086 # its words are meant to be words
"""
