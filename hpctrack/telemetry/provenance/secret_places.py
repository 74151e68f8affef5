"""Where secrets stand: the forms in which scripts, settings and programs name a value."""

from __future__ import annotations

import re
from collections.abc import Mapping

NAME = r"(?<![A-Za-z0-9_])(?<!\$\{)(?P<quote>\\?[\"']?)(?P<name>[A-Za-z_][\w.-]{0,80})(?P=quote)"
QUOTED = (
    r"[rbfuRBFU]{0,2}(?:\"\"\"[^\"\n]{1,8000}\"\"\"|\'\'\'[^'\n]{1,8000}\'\'\')"
    r"|(?:[rbfuRBFU]{1,2}|\$)?(?:\"(?:\\.|[^\"\\\n]){0,8000}\"|'(?:\\.|[^'\\\n]){0,8000}')"
    # in JSON, and so in notebooks
    r"|\\\"[^\"\\\n]{0,8000}\\\"|\\'[^'\\\n]{0,8000}\\'"
)
BARE = r"[^\s\"';|<>()&,`]{1,400}"
REST = re.compile(r"[^\s\"';|<>()&,`]*")
"""A word is looked at up to a length, so that a megabyte without a space takes no hour, and hidden
as a whole."""

GLUED = re.compile(r"(?:\w|[\"'$](?=\w))[^\s;|<>()&,`{}\[\]]*")
"""What a shell takes for the same word as the quotes before it: ``"ab"cd``."""

_AFTER_NAME = r"(?:\\?[\"'\])]){0,3}[ \t]*"
ASSIGNMENT = re.compile(
    # name = value, name: type = value, "name": value, environ["name"] = value, ("name", "value")
    rf"(?P<head>{NAME}{_AFTER_NAME}"
    r"(?::[ \t]*[\w.\[\], |]{1,40}=|=>|:=|[=:]|,(?=[ \t]*\\?[\"']))[ \t]*)"
    rf"(?P<value>{QUOTED}|{BARE})"
)
EXPRESSION = re.compile(
    # name = anything that may hold a text, also in the next line; name="...", default="..."
    rf"(?P<head>{NAME}{_AFTER_NAME}"
    r"(?:(?::[ \t]*[\w.\[\], |]{1,40})?=(?!=)|[ \t](?=\")"
    r"|,[^()\n]{0,200}(?:\n[^()\n]{0,200}){0,4}?\bdefault=))"
    r"(?P<value>[^\n]{0,400}(?:(?<=\()\n[^\n]{0,400})?)"
)
INNER = re.compile(
    r"(?P<head>(?<![\w.-])(?P<name>[A-Za-z_][\w.-]{0,80})=)(?P<value>[^\s\"';|<>()&,`{}%\\]{1,400})"
)
"""Inside a text in code: ``"host=a password=b"``."""

LITERAL = re.compile(QUOTED)

OPTION = re.compile(
    rf"(?P<head>(?<!\S)--?(?P<name>[A-Za-z][\w.-]*)[ \t]+)(?P<value>{QUOTED}|(?!-){BARE})"
)
SETTER = re.compile(
    # C shell, fish, Hydra, Dockerfile, notebook, aws, git
    r"(?P<head>(?<![\w-])(?:setenv|set[ \t]+-\w+|ENV|-g?env|%(?:set_)?env|configure[ \t]+set"
    r"|config(?:[ \t]+--\w+)*)[ \t]+(?P<name>[A-Za-z_][\w.-]{0,80})[ \t]+)"
    rf"(?P<value>{QUOTED}|{BARE})"
)
PAIR = re.compile(
    r"(?P<head>(?<![\w$.{/-])(?P<name>[A-Za-z]\w{0,60}_\w{1,40}|[A-Z]{2,40})[ \t]+(?:<<<[ \t]*)?)"
    rf"(?P<value>{QUOTED}|{BARE})"
)
"""A name and a value with nothing but a space, or ``<<<``, between them."""

HERE = re.compile(
    r"(?P<head>(?<![\w$.{/-])(?P<name>[A-Za-z_]\w{0,80})[ \t]*<<<[ \t]*)"
    rf"(?P<value>{QUOTED}|{BARE})"
)
"""``read -r token <<< value``."""

CONTINUED = re.compile(
    r"(?P<head>(?<![\w$.{/-])(?:(?P<name>[A-Za-z_][\w.-]{0,80})=|--?(?P<option>[A-Za-z][\w.-]{0,80})"
    r"(?:=|[ \t]+))\\\n)"
)
"""A name whose value is in the next line, for a shell."""

NEXT_LINE = re.compile(rf"(?P<head>[-+ ]?[ \t]*)(?P<value>{QUOTED}|(?!-){BARE})")
REMOVED = re.compile(r"(?:-[^\n]*\n){1,50}")
"""What a diff takes away between a line that stays and what follows it from now on."""

EXPANSION = re.compile(
    r"(?P<head>\$\{(?P<name>[A-Za-z_]\w{0,80}):?[-=])(?P<value>[^{}\n]{1,400})(?=\})"
)
"""What a shell takes where a variable is not set: ``${TOKEN:-value}``."""

ELEMENT = re.compile(r"(?P<head><(?P<name>[A-Za-z_][\w.-]{0,80})>)(?P<value>[^<\n]{1,400})(?=</)")
BLOCK = re.compile(
    r"(?m)^(?P<head>[+-]?(?P<indent> *)(?:- )?[\"']?(?P<name>[A-Za-z_][\w.-]{0,80})[\"']?:"
    r"[ \t]*[|>][-+0-9]*[ \t]*\n)(?P<rest>(?:[+-]?(?P=indent) +\S[^\n]*(?:\n|\Z)){1,200})"
)
"""A text of several lines in YAML."""

MAGIC = re.compile(r"(?m)^[+\- ]?[ \t]*\"?[%!][^\n]*?(?=\\n\"|$)")
"""A notebook's line for the shell."""

HEADER = re.compile(
    r"(?i)(?P<head>\b(?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)(?P<rest>[^\"'\n]+)"
)
NETRC = re.compile(
    r"(?P<head>\b(?:machine|login|account)\s+\S+(?:[\s+-]+(?:login|account|port)\s+\S+){0,3}"
    r"[\s+-]+passw(?:or)?d\s+)(?P<rest>\S+)"
)
TOOL = re.compile(
    r"(?P<head>\b(?:curl\b[^\n;|]{0,400}?\s(?:-[A-Za-z]{0,6}u|--(?:proxy-)?user)[ =]?"
    r"|sshpass\s+-p\s*|(?:mysql\w*|mariadb[\w-]*|mongo\w*|7z\w?)\b[^\n;|]{0,400}?\s-p"
    r"|(?:docker|podman|nerdctl|helm)\s[^\n;|]{0,100}?\blogin\s[^\n;|]{0,200}?-p[ \t]+"
    r"|unzip\s[^\n;|]{0,200}?-P[ \t]+|ssh-keygen\s[^\n;|]{0,200}?-N[ \t]+"
    r"|openssl\s[^\n;|]{0,200}?\s-k[ \t]+|lftp\s[^\n;|]{0,200}?-u[ \t]+"
    r"|https?\s[^\n;|]{0,200}?-a[ \t]+|(?:wandb|vault|ngrok)[ \t]+(?:login|authtoken)[ \t]+"
    r"(?:--?[\w=:/.-]+[ \t]+){0,3}))"
    r"(?P<rest>(?![\"']?\$|[-&<>\n])(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s;|]+))"
)
_ASKING = (
    r"(?:--password-stdin|--passphrase-fd|--with-token|--key-file[ =]-|--stdin\b|-passin\s+stdin"
    r"|\b(?:kinit|chpasswd|passwd|vncpasswd|sudo\s+-\w*S|su|cryptsetup|gcloud\s+secrets"
    r"|kubectl\s+create\s+secret|secret\s+create)\b)"
)
PIPED = re.compile(
    r"(?P<head>\b(?:echo|printf)[ \t]+(?:-[neE]+[ \t]+|[\"']?%s(?:\\\\?n)?[\"']?[ \t]+)*)"
    r"(?P<rest>(?![\"']?\$)(?:\"[^\"\n]+\"|'[^'\n]+'|[^\s;|\"'<>]+))"
    rf"(?=[ \t]*\|[^\n;]{{0,200}}?{_ASKING})"
)
"""``echo value | docker login --password-stdin``."""

FED = re.compile(
    rf"(?P<head>(?:{_ASKING}|\bread\s(?:[^\n;|<]*\s)?-[a-z]*s)[^\n;|<]{{0,200}}<<<[ \t]*)"
    r"(?P<rest>(?![\"']?\$(?!'))(?:\$?'[^'\n]+'|\"[^\"\n]+\"|[^\s;|\"'<>]+))"
)
"""``kinit <<< value``."""

REFERENCE = re.compile(r"[\"']?\$(?:\w+|\{[^{}]*\}|\()|[\"']?%\w+%|[\"']?\{\{?[\w. ]*\}")
"""``$TOKEN``, ``$(cat file)``: where a secret is, not what it is."""

OPENING = re.compile(r"(?:[rbfuRBFU]{1,2}|\$)?(?P<mark>\"\"\"|\'\'\'|\\?[\"'])")

PROGRAM_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "sshpass": ("-p",),
    "curl": ("-u", "--user", "-U", "--proxy-user"),
    "redis-cli": ("-a",),
    "docker": ("-p",),
    "podman": ("-p",),
    "ldapsearch": ("-w",),
    "smbclient": ("-U",),
    "mongo": ("-p",),
    "mongosh": ("-p",),
    "unzip": ("-P",),
    "ssh-keygen": ("-N", "-P"),
    "openssl": ("-k",),
    "lftp": ("-u",),
    "http": ("-a",),
    "https": ("-a",),
    "wandb": ("login",),
    "vault": ("login",),
}
"""Words whose next one is a secret although they do not say so."""

ATTACHED_PROGRAMS = re.compile(r"mysql\w*|mariadb[\w-]*|sshpass|mongo\w*|7z\w?")
QUEUE_PROGRAMS = frozenset({"srun", "sbatch", "salloc", "squeue", "sinfo", "ssh", "scp", "sftp"})
"""Their ``-p`` is a partition, or a port."""

NO_PASSWORD = re.compile(r"[a-z][a-z_-]*|[\d.,:x_/-]+(?:tcp|udp)?")
"""``-pthread``, ``-p8080``: what hangs on a ``-p`` and is no password, unless a data base's."""

LOGIN = re.compile(r"(?!\d+:)[^\s:/=,]{1,100}:(?!//)[^\s/]+")
"""``name:password`` behind ``--user``; no numbers of a user and a group."""

LOGIN_OPTIONS = frozenset({"--user", "--login", "--userpwd", "--http-user", "--auth-user"})
SETTERS = frozenset({"setenv", "-genv", "-env", "set"})
