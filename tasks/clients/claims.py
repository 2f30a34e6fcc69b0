"""What a run may say of a client host: that a runtime trusts the registry, or only that it has the CA.

The first is said if the runtime itself reached the registry, in this run or in the one before which nothing that
matters has changed. What is asked, and what was seen, is kept by a digest in the controller's state: so a run without
changes asks nothing, and a run that was killed before it asked is finished by the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tasks.clients.answers import Verdict
from tasks.clients.mirrors import Mirror
from tasks.clients.questions import Question

Verdicts = Mapping[Question, Verdict]


@dataclass(frozen=True)
class Claim:
    """What a role has done on a host.

    `titles` are the runtimes that it served, for people, in their order; `questions` are those to ask, which a runtime
    that does not run has none of. `ca_pem` and `address` are what they were given, `changed` says that this run took
    steps, and `logged_in` are the users of the system who have a login. `mirror` are the caches that the runtimes pull
    through, which are asked as well.
    """

    group: str
    titles: Sequence[str]
    endpoints: Sequence[str]
    ca_pem: str
    address: str
    questions: Sequence[Question]
    changed: bool
    logged_in: Sequence[str] = ()
    mirror: Mirror | None = None

    @property
    def digest(self) -> str:
        """A digest of all that an answer depends on, as far as a run knows it."""
        content = repr((self.ca_pem, self.address, list(self.titles), list(self.questions)))
        return hashlib.sha256(content.encode()).hexdigest()

    def lines(self, seen: Sequence[str]) -> list[str]:
        """Return the lines for people.

        `seen` are the titles of the runtimes that reached the registry, and the mirror's endpoint if that answered.
        """
        names = ", ".join(self.endpoints)
        trusting = [title for title in self.titles if title in seen]
        others = [title for title in self.titles if title not in seen]
        said = [f"{join(trusting)} {'trusts' if len(trusting) == 1 else 'trust'} {names}"] if trusting else []
        if others:
            said.append(f"{join(others)} {'has' if len(others) == 1 else 'have'} the CA of {names}")
        users = f"; logged in: {', '.join(self.logged_in)}" if self.logged_in else ""
        said[-1] += users
        if self.mirror and self.mirror.endpoint in seen:
            said.append(f"the caches of {join(self.mirror.names)} answer at {self.mirror.endpoint}")
        return said


@dataclass
class Claims:
    """The claims of this run by host and group.

    `trusting` has, by host and group, the titles of the runtimes that reached the registry, for hosts that this run
    finished in that group. `first` says that no runtime of any host was seen to reach it before this run; None until
    the first host is asked.
    """

    made: dict[str, dict[str, Claim]] = field(default_factory=dict)
    trusting: dict[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    first: bool | None = None

    @property
    def seen(self) -> set[str]:
        """The hosts of which a runtime reached the registry."""
        return {host for (host, _), titles in self.trusting.items() if titles}

    def make(self, host: str, claim: Claim) -> None:
        """Note a role's claim on a host, in the place of an earlier one."""
        self.made.setdefault(host, {})[claim.group] = claim


def join(names: Sequence[str]) -> str:
    """Return `K3s, containerd and Podman`."""
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last


def seen_titles(claim: Claim, verdicts: Verdicts) -> list[str]:
    """Return the titles of the runtimes that were asked, and of which every answer says that they trust the registry.

    The mirror's endpoint is among them if every runtime's question to it was answered.
    """
    mirror = claim.mirror.endpoint if claim.mirror else None
    meanings: dict[str, set[str]] = {title: set() for title in (*claim.titles, mirror) if title}
    for each in claim.questions:
        of = each.endpoint if each.endpoint == mirror else each.title
        if of in meanings:
            meanings[of].add(verdicts[each].meaning)
    return [title for title, found in meanings.items() if found - {"not asked"} == {"trusts"}]
