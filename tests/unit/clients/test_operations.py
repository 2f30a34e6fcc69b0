"""What is to be done about a registry that a client does not reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.clients import operations
from tasks.clients.answers import Meaning, Verdict
from tasks.clients.questions import Question
from tasks.registry.address import Addresses
from tasks.registry.context import RegistryContext
from tasks.registry.plan import RegistryHost
from tasks.run.context import Run
from tasks.settings.load import Configuration, Settings
from tasks.state.store import Store

HELD = Addresses(("eth0", "192.168.1.10"), {"192.168.1.10": "eth0"})
QUESTION = Question(
    "Docker", "registry.homelab.local", "registry.homelab.local", 443, "/ca.crt", ("ask_docker",)
)


@pytest.mark.parametrize(
    ("address", "meaning", "words", "remedy"),
    [
        ("192.0.2.99", "unreached", "no answer within 20 s",
         "nas does not have registry_address; take it out, or set it to the one that clients reach (192.168.1.10), "
         "and run again"),
        ("192.168.1.10", "unreached", "no answer within 20 s", "see whether a firewall on nas "),
        (None, "unreached", "no answer within 20 s", "see whether a firewall on nas "),
        ("192.0.2.99", "distrusts", "x509: unknown authority", "another certificate is served to it than nas serves"),
    ],
)  # fmt: skip
def test_the_address_is_to_be_corrected_if_the_registry_host_does_not_have_it(
    address: str | None, meaning: Meaning, words: str, remedy: str
) -> None:
    settings = Settings.model_validate({"registry_address": address})
    run = Run(Configuration(settings, {}, "nas"), Store(Path("/nowhere")), "lab", dry=False)
    run.part(RegistryContext).found = RegistryHost(addresses=HELD)
    [(_, said)] = operations._problems(run, [QUESTION], {QUESTION: Verdict(meaning, words)})
    assert said.startswith(remedy)
