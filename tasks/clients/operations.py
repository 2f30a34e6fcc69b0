"""Ask the registry from each client host that changed, before anything is said of it."""

from __future__ import annotations

from base64 import b64decode
from collections import defaultdict
from collections.abc import Generator, Sequence

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.facts import FactBase, get_fact
from pyinfra.api.host import Host
from pyinfra.api.operation import operation

from tasks.clients import answers
from tasks.clients.answers import Verdict
from tasks.clients.claims import Claim, Claims, Verdicts, join, seen_titles
from tasks.clients.questions import Question, emit
from tasks.problem import Problem
from tasks.registry import address
from tasks.registry.context import RegistryContext
from tasks.remote.fact_scripts import fail_host_on_bad_output, read_answer, script
from tasks.run import output
from tasks.run.apply import record_problem, stop_host
from tasks.run.context import Run, current
from tasks.run.pending_hosts import mark_finished
from tasks.run.report import remedy_for
from tasks.settings.redact import printable


@fail_host_on_bad_output
class AnswersFact(FactBase[list[Verdict] | None]):
    """The registry's answers to a host's runtimes, in one round trip."""

    def command(self, questions: Sequence[Question]) -> str:
        """Return the script."""
        return script(emit(questions))

    def process(self, output: list[str]) -> list[Verdict]:
        """Parse the output; `FactProcessError` if it is incomplete."""
        found = {
            int(number): answers.read(how, int(code), b64decode(text).decode(errors="replace"))
            for number, how, code, text in read_answer(output).all("answer")
        }
        return [found[number] for number in range(len(found))]


@operation()
def ask() -> Generator[PyinfraCommand, None, None]:
    """Ask the registry through the runtimes of this host if it changed since they were last asked; finish the host."""
    try:
        good = not host.state.is_executing or finish(current(), host)
    except Problem as stop:
        good = False
        record_problem(host, stop.problem, stop.remedy)
    except OSError as error:
        good = False
        problem = f"could not keep what was seen: on this machine: {error.filename}: {error.strerror}"
        record_problem(host, problem, remedy_for(str(error)))
    # What was refused alone keeps no rotation waiting: the registry host goes on with that, and ends as failed later.
    if not good or (host.name in current().report.problems and "registry" not in host.groups):
        yield from stop_host(host)


@operation()
def prove_address() -> Generator[PyinfraCommand, None, None]:
    """Fail the registry host if it does not have `registry_address`, and no client was seen to reach it there."""
    run = current()
    if not host.state.is_executing:
        return
    claims, held = run.part(Claims), _elsewhere(run)
    if held and claims.made and not claims.seen:
        given = run.configuration.settings.registry_address
        problem = f"no client was seen to reach registry_address = {given}, which is no address of this host"
        record_problem(host, problem, _set_address(held))
        yield from stop_host(host)
    else:
        host.noop("clients reach it" if held else "this host has it")


def _elsewhere(run: Run) -> str | None:
    """Return the addresses of the registry host, if `registry_address` is set and is none of them."""
    found = run.part(RegistryContext).found
    return address.elsewhere(run.configuration.settings.registry_address, found.addresses) if found else None


def _set_address(held: str) -> str:
    return f"take it out, or set it to the one that clients reach ({held}), and run again"


def finish(run: Run, client: Host) -> bool:
    """Finish a host in each role whose runtimes trust the registry, as far as they can be asked; return whether all do.

    A host whose runtime rejects the certificate, or does not reach the registry, is not finished: nothing old may be
    retired before it has what is new, and pulls there do not work. An answer that nobody foresaw is only noted.
    """
    part, known = run.part(Claims), run.store.read_seen()
    claims = part.made.get(client.name, {}).values()
    if part.first is None:
        part.first = not any(titles for _, titles in known.values())
    due = any(each.changed or known.get(_key(client, each), ("", []))[0] != each.digest for each in claims)
    verdicts = _ask(client, [question for claim in claims for question in claim.questions] if due else [])
    good = True
    for claim in claims:
        if not due:
            _mark(run, client, claim, known[_key(client, claim)][1])
        elif problems := _problems(run, [each for each in claim.questions if not each.user], verdicts):
            good = False
            _remember(run, _key(client, claim), None)
            for problem, remedy in problems:
                record_problem(client, problem, remedy)
        else:
            seen = seen_titles(claim, verdicts)
            # A user could make an engine of their own answer anything.
            theirs = _problems(run, claim.questions, verdicts)
            for problem, remedy in theirs:
                record_problem(client, problem, remedy)
            _mark(run, client, claim, seen)
            clear = not _note_unclear(run, client, claim, verdicts) and not theirs
            _remember(run, _key(client, claim), (claim.digest, seen) if clear else None)
    return good


def _key(client: Host, claim: Claim) -> str:
    return f"{client.name} {claim.group}"


def _remember(run: Run, key: str, seen: tuple[str, list[str]] | None) -> None:
    """Keep what was seen; with None, or once a host has left the inventory, it is forgotten."""
    before, hosts = run.store.read_seen(), run.configuration.hosts
    known = {each: was for each, was in before.items() if each.rpartition(" ")[0] in hosts and each != key}
    if seen:
        known[key] = seen
    if known != before:
        run.store.write_seen(known)


def _ask(client: Host, questions: Sequence[Question]) -> Verdicts:
    if not questions:
        return {}
    arguments = {"questions": questions}
    with output.under_way(f"[{client.name}] ask the registry from there"):
        found = get_fact(client.state, client, AnswersFact, kwargs=arguments, apply_failed_hosts=False)
    if found is None or len(found) != len(questions):
        found = [Verdict("unclear", "it could not be read (see above)")] * len(questions)
    return dict(zip(questions, found, strict=True))


def _mark(run: Run, client: Host, claim: Claim, seen: Sequence[str]) -> None:
    run.part(Claims).trusting[client.name, claim.group] = seen
    for line in claim.lines(seen):
        mark_finished(run, client, claim.group, line)


def _note_unclear(run: Run, client: Host, claim: Claim, verdicts: Verdicts) -> bool:
    """Note the answers that are not understood, and return whether there are some."""
    unclear = [each for each in claim.questions if verdicts[each].meaning == "unclear"]
    for question in unclear:
        what = f"{question.title} was asked for {question.endpoint}, and its answer is not understood"
        if claim.mirror and question.endpoint == claim.mirror.endpoint:
            what = f"the caches do not answer at {question.endpoint}, so {question.title} pulls from the internet"
        run.report.note(client.name, f"{what}: {printable(verdicts[question].words)}")
    return bool(unclear)


def _problems(run: Run, questions: Sequence[Question], verdicts: Verdicts) -> list[tuple[str, str]]:
    """Return what keeps a host from being finished and what to do; runtimes with the same answer share a line."""
    alike = defaultdict(list)
    for each in questions:
        verdict = verdicts[each]
        if verdict.meaning in {"distrusts", "unreached"}:
            alike[each.endpoint, each.proxy, verdict].append(each)
    return [_problem(run, questions, verdict) for (_, _, verdict), questions in alike.items()]


def _problem(run: Run, questions: Sequence[Question], verdict: Verdict) -> tuple[str, str]:
    first, several = questions[0], len(questions) > 1
    titles = join([each.title for each in questions])
    if first.proxy:
        return (
            f"{titles} {'ask' if several else 'asks'} a proxy for {first.endpoint} (HTTPS_PROXY in {first.proxy}), "
            f"and got: {verdict.words}",
            f"add {first.host} to NO_PROXY there, {first.restart}, and run again",
        )
    registry_host = run.configuration.registry_host
    remedy = answers.remedy(
        verdict.words,
        host=first.host,
        endpoint=first.endpoint,
        address=run.part(RegistryContext).address or "",
        registry_host=registry_host,
        managed=run.configuration.settings.registry_manage_hosts_file,
    )
    if verdict.meaning == "unreached" and (held := _elsewhere(run)):
        remedy = f"{registry_host} does not have registry_address; {_set_address(held)}"
    verb = f"{'do' if several else 'does'} not {'trust' if verdict.meaning == 'distrusts' else 'reach'}"
    return f"{titles} {verb} {first.endpoint}: {verdict.words}", remedy
