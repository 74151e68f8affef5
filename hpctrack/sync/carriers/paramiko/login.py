"""The login: our keys one after the other, then a second factor, and what is said if it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import AuthError, ConnectError
from hpctrack.sync.carriers.agent import Agent
from hpctrack.sync.carriers.explain import explain_keys
from hpctrack.sync.carriers.paramiko.authentication import Answer, Dialogue, Said
from hpctrack.sync.carriers.paramiko.credentials import Credential, Findings, list_credentials
from hpctrack.sync.carriers.paramiko.session import Session
from hpctrack.sync.carriers.ssh_target import SshTarget

MAX_QUESTIONNAIRES = 3
"""Times that a wrong code may be typed, as with ssh."""

SECOND_FACTOR_HINT = (
    "log in once by hand over a shared connection, and syncs go through it:"
    " `ControlMaster auto` and `ControlPath ~/.ssh/%C` in ssh_config, then `ssh -fN {host}`"
)

AskAll = Callable[[str, str, Sequence[tuple[str, bool]]], list[str]]


class NeedsSshError(AuthError):
    """The server wants what only the system's ``ssh`` can do."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who can be asked.

    Parameters
    ----------
    ask_passphrase : callable
        Returns the passphrase of a key.
    answer : callable
        Answers the questions of a server: its title, its text, the prompts.
    """

    ask_passphrase: Callable[[str], str]
    answer: AskAll


@dataclass(slots=True)
class _Course:
    """How far the login of one user has come."""

    findings: Findings = field(default_factory=Findings)
    tried: list[str] = field(default_factory=list)
    methods: tuple[str, ...] = ("publickey",)
    is_partly_in: bool = False
    is_lost: bool = False
    declined: str = ""

    def take(self, answer: Answer) -> None:
        self.methods = answer.methods or self.methods
        self.is_partly_in |= answer.said is Said.MORE
        self.is_lost |= answer.said is Said.LOST


def log_in(
    session: Session,
    target: SshTarget,
    person: Person | None,
    *,
    hurry: Callable[[], Any] | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Any:
    """Prove who we are.

    Parameters
    ----------
    session : Session
        With the server's key checked.
    target : SshTarget
        The user, and where the keys are.
    person : Person or None
        None if nobody is to be asked.
    hurry : callable, optional
        Sends what is to follow the login in the same breath, and returns a channel.
    clock : Clock, optional
        Tells which certificates have expired.

    Returns
    -------
    Channel or None
        What ``hurry`` has returned.

    Raises
    ------
    AuthError
        It does not let us in; the hint says what may be done.
    """
    course = _Course()
    with Agent(target.agent) as agent:
        ask = person.ask_passphrase if person else None
        keys = list_credentials(target, agent, ask, course.findings)
        dialogue = Dialogue(session, target.user)
        if not keys:
            course.take(dialogue.try_nothing())
        for early in _try_keys(session, dialogue, keys, course, hurry):
            return early
    for _attempt in range(MAX_QUESTIONNAIRES):
        if course.is_lost or person is None or "keyboard-interactive" not in course.methods:
            break
        if _answer_questions(dialogue, person, course):
            return None
    raise _make_error(target, course, person, dialogue.banner, clock)


def _try_keys(
    session: Session,
    dialogue: Dialogue,
    keys: list[Credential],
    course: _Course,
    hurry: Callable[[], Any] | None,
) -> Iterator[Any]:
    """Try one key after the other; yield once, when the login is done."""
    for key in keys:
        if course.is_lost or "publickey" not in course.methods:
            return
        course.tried.append(key.name)
        if not key.is_quick and len(keys) > 1:
            answer = dialogue.offer_key(key.algorithm, key.blob)
            if answer.said is not Said.ACCEPTABLE:
                course.take(answer)
                continue
        try:
            dialogue.send_key(key.algorithm, key.blob, key.sign)
        except (ValueError, EOFError, OSError) as error:
            course.declined = f"{key.name}: {str(error) or 'nobody answered'}"
            if not session.is_active():
                course.is_lost = True
            continue
        # A command can be asked for before the answer has come: OpenSSH handles one message after
        # the other, and passes by what comes before its time.
        early = hurry() if hurry is not None and session.is_openssh else None
        answer = dialogue.wait()
        if answer.said is Said.WELCOME:
            yield early
            return
        if early is not None:
            session.forget_channel(early)
        course.take(answer)


def _answer_questions(dialogue: Dialogue, person: Person, course: _Course) -> bool:
    """Let the server ask and the person answer; tell whether that was enough."""
    answer = dialogue.start_questions()
    while answer.said is Said.ASKS:
        words: list[str] = []
        with suppress(EOFError):
            # A server may also only tell something: no questions, no answers.
            words = (
                person.answer(answer.title, answer.text, answer.prompts)
                if (answer.prompts or answer.title or answer.text)
                else []
            )
        if len(words) != len(answer.prompts):
            course.declined = "nobody answered"
            words = [""] * len(answer.prompts)
        answer = dialogue.answer(words)
    course.take(answer)
    return answer.said is Said.WELCOME


def _make_error(
    target: SshTarget,
    course: _Course,
    person: Person | None,
    banner: str,
    clock: Clock,
) -> AuthError | ConnectError:
    shown = ", ".join(dict.fromkeys(course.tried)) or "no key that could be used"
    if course.is_partly_in:
        return _make_factor_error(target, course, person, shown)
    if course.is_lost:
        why = "ended the connection during the login"
        hint = "too many keys? name one: --identity, or IdentityFile with IdentitiesOnly"
        if not course.tried:
            hint = "is its sshd alive, and are you allowed from here?"
        return AuthError(f"{target.shown} {why} of {target.user} with {shown}", hint=hint)
    others = [one for one in course.methods if one not in {"publickey", "keyboard-interactive"}]
    if (
        "publickey" not in course.methods
        and others
        and "keyboard-interactive" not in course.methods
    ):
        return NeedsSshError(
            f"{target.shown} lets {target.user} in by {', '.join(course.methods)} only",
            hint="the system's ssh may do that: --transport ssh",
        )
    hint = explain_keys(
        target,
        locked=course.findings.locked,
        exposed=course.findings.exposed,
        declined=course.declined,
        said=banner,
        now_s=clock.wall_s(),
    )
    return AuthError(f"{target.shown} did not accept {target.user} with {shown}", hint=hint)


def _make_factor_error(
    target: SshTarget, course: _Course, person: Person | None, shown: str
) -> AuthError:
    what = f"{target.shown} took {shown} of {target.user} and asks for a second factor"
    hint = SECOND_FACTOR_HINT.format(host=target.host)
    if "keyboard-interactive" not in course.methods and "publickey" not in course.methods:
        return NeedsSshError(f"{what}: {', '.join(course.methods)}", hint=hint)
    if person is None:
        return AuthError(f"{what}, and there is nobody to ask", hint=hint)
    return AuthError(f"{what}, which was not right", hint=course.declined or "try again")
