"""survey: hold an adapter against every rule outside pytest, and tell what it can do, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..run import Run
from ..trainable import CAPABILITIES
from .adapter_rules import ADAPTER_RULES
from .adapter_rules_tools import ONE, Factory, see
from .check_adapter import GATES, name_of
from .doubles import Do
from .rules import BrokenRuleError, left_in, own_folder


@dataclass(frozen=True)
class Abilities:
    """What an adapter says of itself, as it is asked inside a run.

    Attributes:
        framework: the name of its trainer.
        trainable: the class whose verbs were asked.
        capabilities: for each of ``CAPABILITIES`` None where it is offered, else the sentence that says why not.
        formats: the suffixes of the files that ``save`` writes, and what is in each.
        owns_loop: whether the loop is the user's own.
    """

    framework: str
    trainable: type
    capabilities: dict[str, str | None]
    formats: dict[str, str]
    owns_loop: bool


@dataclass(frozen=True)
class Survey:
    """What ``survey`` found.

    Attributes:
        framework: the name of the trainer; empty where its bench does not train yet.
        owns_loop: whether the loop is the user's own.
        capabilities: for each capability None where it is offered, else the sentence that says why not.
        formats: the suffixes of the files that ``save`` writes, and what is in each.
        held: the names of the rules that are kept.
        left_out: those that were not tried, each with the reason that was given.
        broken: those that are broken, each with the message.
    """

    framework: str = ""
    owns_loop: bool = False
    capabilities: dict[str, str | None] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """It as plain data, which ``json.dumps`` takes."""
        return asdict(self)


def survey(factory: Factory, *, without: Mapping[str, str] | None = None) -> Survey:
    """Hold an adapter against every rule, as ``check_adapter`` does, and ask it what it can do.

    Args:
        factory: makes a new ``Bench`` of the adapter at each call.
        without: rules that are left out, each with the reason why.

    Where one of the first rules is broken, without which no other is worth trying, those are told of as broken too.

    Raises:
        ValueError: ``without`` names no rule, or gives no reason.
    """
    who, left_out = name_of(factory), dict(without or {})
    held: list[str] = []
    broken: dict[str, str] = {}
    for rule in left_in(who, ADAPTER_RULES, left_out):
        gate = next((name for name in GATES if name in broken), None)
        if gate is not None:
            broken[rule.name] = f"not tried: {who} breaks {gate!r}; mend that first"
            continue
        try:
            rule.hold(who, factory)
        except BrokenRuleError as error:
            broken[rule.name] = str(error)
        else:
            held.append(rule.name)
    found = Survey(held=held, left_out=left_out, broken=broken)
    if any(name in broken for name in GATES):
        return found
    said = abilities(factory)
    return Survey(said.framework, said.owns_loop, said.capabilities, said.formats, held, left_out, broken)


def abilities(factory: Factory) -> Abilities:
    """What the adapter says of itself at the end of an epoch of a run that is listened to."""
    bench, said = factory(), []

    def ask(run: Run) -> None:
        trainable = run.trainable
        capabilities = {need: trainable.missing(need) for need in CAPABILITIES}
        formats = dict(trainable.formats) if capabilities["save"] is None else {}
        said.append(Abilities(run.framework, type(trainable), capabilities, formats, bench.owns_loop))

    with own_folder():
        see(bench, ONE, Do("epoch_end", ask))
    return said[0]
