"""Everything trainhooks raises, and the one sentence for each kind of mistake.

    TrainhooksError
    ├── RegistrationError (TypeError)            a hook, an argument or a need that cannot be served
    │   └── CapabilityError                      this trainer lacks what is asked of it
    ├── UnknownEventError (ValueError)           no such event
    ├── UnknownCallbackError (ValueError)        no callback is called so
    ├── MissingMetricError (KeyError)            no such metric in the logs
    ├── MetricValueError (TypeError)             a logged value that is not one number
    ├── LoopError (RuntimeError)                 the loop's verbs used out of their order
    │   └── GrammarError                         an event where the grammar has no place for it
    ├── WeightsError (ValueError)                names or shapes that do not fit the model
    │   └── NoWeightsError                       the model has not been built yet
    ├── StateFileError (ValueError)              a file that is damaged, or holds no state
    ├── NoAdapterError (TypeError)               nothing here can wrap this object
    └── FrameworkNotInstalledError (ImportError) names the extra to install

A bad constructor argument is a plain ``ValueError`` or ``TypeError``. Each error also derives from the builtin that a
user would catch. Messages say who, what was wrong, what there is, and what to do.
"""

from __future__ import annotations

import contextlib
import reprlib
from collections.abc import Iterable, Iterator, Sequence


class TrainhooksError(Exception):
    """Base of every error that trainhooks defines."""


class RegistrationError(TrainhooksError, TypeError):
    """A callback or function cannot be registered; nothing of it was."""


class CapabilityError(RegistrationError):
    """The trainer cannot do what a callback needs or asks for."""


class UnknownEventError(TrainhooksError, ValueError):
    """There is no event of that name."""


class UnknownCallbackError(TrainhooksError, ValueError):
    """No callback goes by that name: no built-in, none that was registered, and none of a plugin."""


class MissingMetricError(TrainhooksError, KeyError):
    """The logs hold no metric of that name."""

    def __str__(self) -> str:  # KeyError would print the message's repr
        return str(self.args[0])


class MetricValueError(TrainhooksError, TypeError):
    """A logged value is not one real number."""


class LoopError(TrainhooksError, RuntimeError):
    """A verb of the loop was used where it has no meaning."""


class GrammarError(LoopError):
    """An event came where the grammar has no place for it."""


class WeightsError(TrainhooksError, ValueError):
    """Weights whose names or shapes do not fit the model; none was written."""


class NoWeightsError(WeightsError):
    """The model has no weights yet: it is built when it sees its first batch."""


class StateFileError(TrainhooksError, ValueError):
    """A file that is damaged, or holds no state of a run."""


class NoAdapterError(TrainhooksError, TypeError):
    """No adapter can wrap this object."""


class FrameworkNotInstalledError(TrainhooksError, ImportError):
    """An adapter's framework, or a package that one callback needs, is not installed."""


def said(error: BaseException) -> str:
    """The exception's type and text, as ``ValueError: no``; one whose text cannot be shown ends nothing."""
    try:
        text = str(error)
    except Exception:  # a stranger's own __str__
        text = "(its text cannot be shown)"
    return f"{type(error).__name__}: {text}"


def nearest(name: object, known: Iterable[str]) -> str | None:
    """Of the known names but ``name`` itself the one most like it; None when none is near, or it is no string."""
    if not isinstance(name, str):
        return None
    import difflib  # here, so that `import trainhooks` stays cheap

    others = [one for one in known if one != name]
    found = difflib.get_close_matches(name, others, n=1, cutoff=0.6)
    if not found and len(name) > 1:  # another way of writing it: 'csv_logger'
        found = [one for one in others if _letters(one) == _letters(name)]
    return found[0] if found else None


def _letters(name: str) -> str:
    return name.replace("_", "").casefold()


def listing(names: Iterable[str]) -> str:
    """``'a', 'b'`` in the order given; ``nothing`` when empty."""
    return ", ".join(map(repr, names)) or "nothing"


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` with its leading space, or an empty string."""
    near = nearest(name, known)
    return f" Did you mean {near!r}?" if near else ""


def unknown_event(who: str, name: object, known: Sequence[str]) -> UnknownEventError:
    return UnknownEventError(
        f"{who}: there is no event {name!r}.{did_you_mean(name, known) or f' There are {listing(known)}.'}"
    )


def unknown_callback(where: str, name: str, known: Sequence[str], failed: Sequence[str] = ()) -> UnknownCallbackError:
    """``where`` is how the message begins; ``failed`` are plugins that might have offered it."""
    skipped = f" Of the plugins these failed: {', '.join(failed)}." if failed else ""
    return UnknownCallbackError(
        f"{where}there is no callback {name!r}.{did_you_mean(name, known)} There are {listing(known)}.{skipped} "
        "One of your own is registered with trainhooks.callbacks.register."
    )


def unknown_hook(who: str, hook: str, known: Sequence[str]) -> RegistrationError:
    hooks = [f"on_{name}" for name in known]
    return RegistrationError(
        f"{who}.{hook}: there is no such event.{did_you_mean(hook, hooks)} "
        "(A method named on_... is a hook; give a method that is none another name.)"
    )


def unknown_argument(who: str, event: str, argument: str, known: Sequence[str]) -> RegistrationError:
    return RegistrationError(
        f"{who}: {event!r} has no argument {argument!r}.{did_you_mean(argument, known)} "
        f"A hook takes any of {listing(known)}, by name."
    )


def starred_argument(who: str, event: str, argument: str, known: Sequence[str]) -> RegistrationError:
    return RegistrationError(
        f"{who}: {argument} would hide a misspelt argument. Name what the hook uses: any of {listing(known)}."
    )


def coroutine_hook(who: str, event: str) -> RegistrationError:
    return RegistrationError(f"{who}: a hook of {event!r} is called, never awaited. Make it a plain function.")


def generator_hook(who: str, event: str) -> RegistrationError:
    return RegistrationError(
        f"{who}: a hook of {event!r} is called, never iterated, so that what holds a yield would not run. Take it out."
    )


def no_signature(who: str, event: str, known: Sequence[str]) -> RegistrationError:
    return RegistrationError(
        f"{who}: its arguments cannot be read. Wrap it in a function that takes any of {listing(known)}."
    )


def not_callable(who: str, event: str) -> RegistrationError:
    return RegistrationError(f"{who}: a hook of {event!r} must be callable.")


def not_a_filter(who: str, value: object) -> RegistrationError:
    hint = " A function goes into a second pair of brackets: on(event)(function)." if callable(value) else ""
    return RegistrationError(
        f"{who}: {value!r} is no filter. There are every(...), once(...), between(...), when(...).{hint}"
    )


def added_twice(who: str) -> RegistrationError:
    return RegistrationError(f"{who} was added twice: the same object is here already. Make a second one to have two.")


def not_a_callback(value: object) -> RegistrationError:
    hint = ""
    if isinstance(value, type):
        hint = f" It is a class: write {value.__name__}()."
    elif any(base.__module__.partition(".")[0] == "keras" for base in type(value).__mro__):
        hint = " It is a Keras callback: give it to fit(callbacks=[...]) beside ours."
    return RegistrationError(f"{value!r} is not a trainhooks.Callback.{hint} For a plain function there is on(event).")


def other_save(who: str) -> RegistrationError:
    return RegistrationError(
        f"{who}.save: a callback's save(run) carries out run.save(). Take run alone, or give the method another name."
    )


def frozen_callback(who: str) -> RegistrationError:
    return RegistrationError(f"{who} is frozen, and its run could not be set on it. Make it a class that can change.")


def one_callback(value: object) -> RegistrationError:
    return RegistrationError(f"callbacks={value!r}: it is a list. Write callbacks=[...].")


def no_trainable(value: object) -> TypeError:
    hint = "Callbacks go by name: LoopRun(callbacks=[...])." if isinstance(value, (list, tuple)) else ""
    return TypeError(
        f"LoopRun({reprlib.repr(value)}): it takes a trainhooks.Trainable, or none. "
        f"{hint or 'For a model of a framework there is trainhooks.wrap(model, ...).'}"
    )


def no_steps(who: str, model: object, steps: Sequence[str]) -> TypeError:
    return TypeError(
        f"{who}({reprlib.repr(model)}): the model has no {listing(steps)}. {who} is for objects that have the steps; a "
        "PyTorch or Keras model goes into trainhooks.wrap(model, ...)."
    )


def not_settable(name: str) -> AttributeError:
    stop = " A stop is asked for with run.stop(reason)." if "stop" in name else ""
    return AttributeError(f"run.{name} cannot be set; run.lr and run.lrs can.{stop}")


def loop_verb(name: str) -> AttributeError:
    hint = " In a callback, logs['name'] = value adds to the logs." if name == "log" else ""
    return AttributeError(
        f"run.{name}: this is the run as its callbacks see it, and the loop's verbs are LoopRun's.{hint}"
    )


def trainer_asks(who: str, name: str) -> AttributeError:
    hint = " A run has max_epochs and steps_per_epoch: self.run.max_epochs." if name == "params" else ""
    return AttributeError(
        f"{who} has no {name!r}.{hint} If it is a trainer that asks: a trainhooks callback goes into "
        "trainhooks.wrap(trainer, callbacks=[...]), or into the bridge([...]) of the trainer's adapter."
    )


def unknown_need(who: str, need: object, known: Sequence[str]) -> RegistrationError:
    return RegistrationError(
        f"{who}.requires: there is no capability {need!r}.{did_you_mean(need, known)} There are {listing(known)}."
    )


def unknown_setting(who: str, setting: str, value: object, known: Sequence[str]) -> RegistrationError:
    return RegistrationError(f"{who}.{setting}={value!r}: it is one of {listing(known)}.{did_you_mean(value, known)}")


def lacking(who: str, need: str, reason: str) -> CapabilityError:
    return CapabilityError(f"{who} needs {need!r}, which this trainer lacks: {reason}")


def needs_a_run(who: str, event: str, what: str = "it asks for 'run'") -> RegistrationError:
    return RegistrationError(
        f"{who}: as a hook of {event!r} {what}, and this bus has no run. Use trainhooks.LoopRun(callbacks=[...])."
    )


def emit_arguments(event: str, missing: Sequence[str], unknown: Sequence[str], known: Sequence[str]) -> TypeError:
    """A plain TypeError, as from any call with other arguments than the function has."""
    wrong = [f"is given no {listing(missing)}"] if missing else []
    if unknown:
        wrong.append(f"has no argument {listing(unknown)}")
    near = did_you_mean(unknown[0], missing) if unknown else ""
    return TypeError(f"emit({event!r}): it {' and '.join(wrong)}. Its arguments are {listing(known)}.{near}")


def already_attached(who: str) -> LoopError:
    return LoopError(
        f"{who} is attached to a run that is still open; a callback serves one run at a time.\n"
        "Leave the first run's `with` before the next begins, or make a second callback."
    )


def missing_metric(who: str, name: str, known: Sequence[str], remedy: str = "") -> MissingMetricError:
    near = did_you_mean(name, known)
    there = f"There are {listing(known)}." if known else "There are none."
    return MissingMetricError(f"{who}: no metric {name!r}. {there}{near}{f' {remedy}' if remedy else ''}")


def unmet_monitor(what: str, name: str, known: Sequence[str], strict: bool) -> MissingMetricError:
    """A watched metric that was due and is not there; ``what`` says who watches it and when it was due."""
    there = f"There are {listing(known)}." if known else "There are none."
    remedy = " (strict=False warns instead.)" if strict else ""
    return MissingMetricError(f"{what} {there}{did_you_mean(name, known)}{remedy}")


def no_adapter(target: object, known: Sequence[str], failed: Sequence[str] = ()) -> NoAdapterError:
    kind = f"{type(target).__module__}.{type(target).__qualname__}"
    skipped = f" Of the plugins these failed: {'; '.join(failed)}." if failed else ""
    return NoAdapterError(
        f"wrap(): no adapter takes an object of type {kind}. There are adapters for {listing(known)}.{skipped} "
        "If you own the loop, trainhooks.LoopRun(callbacks=[...]) needs no model."
    )


def framework_not_installed(framework: str, extra: str) -> FrameworkNotInstalledError:
    return FrameworkNotInstalledError(f"{framework} is not installed: pip install 'trainhooks[{extra}]'")


@contextlib.contextmanager
def importing(framework: str, extra: str) -> Iterator[None]:
    """Around the import of a framework: where it is absent, the error names what installs it.

    Raises:
        FrameworkNotInstalledError: it is not there; one that is, and lacks something itself, says so by its own error.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != framework:
            raise
        raise framework_not_installed(framework, extra) from error


def package_not_installed(who: str, package: str, extra: str) -> FrameworkNotInstalledError:
    return FrameworkNotInstalledError(
        f"{who} needs {package}, which is not installed: pip install 'trainhooks[{extra}]'"
    )


def weights_mismatch(
    who: str, missing: Sequence[str], unexpected: Sequence[str], shapes: Sequence[str]
) -> WeightsError:
    """Which weights were not given, are unknown, or have another shape (each of ``shapes`` is a ready phrase)."""
    parts = []
    if missing:
        parts.append(f"not given: {listing(missing)}")
    if unexpected:
        parts.append(f"unknown: {listing(unexpected)}")
    if shapes:
        parts.append(f"another shape: {'; '.join(shapes)}")
    hint = did_you_mean(unexpected[0], missing) if unexpected and missing else ""
    return WeightsError(f"{who}: the weights do not fit ({'; '.join(parts)}). Nothing was written.{hint}")


def no_scope(kind: object, known: Sequence[str]) -> GrammarError:
    return GrammarError(
        f"open({kind!r}): there is no such scope.{did_you_mean(kind, known)} There are {listing(known)}."
    )


def misplaced_scope(kind: str, top: str, places: Sequence[str]) -> GrammarError:
    hint = " A validation comes before its epoch is closed; an evaluation alone has a driver of its own."
    return GrammarError(
        f"{kind!r} cannot begin inside {top!r}: its place is in {listing(places)}."
        f"{hint if kind in ('test', 'predict') and top == 'train' else ''}"
    )


def apart(rank: int, where: str, other: int, there: str) -> LoopError:
    """Two ranks of one training ask different questions, and each would take the other's answer for its own."""
    return LoopError(
        f"rank {rank} is {where}, and rank {other} {there}: they train together, so every rank runs the same epochs, "
        "validations and predictions. (Each may have batches of its own, and not the same number of them.)"
    )


def slow_listener(who: str, seconds: float, step: str, step_seconds: float, share: float) -> str:
    """The warning about a listener that takes longer than what it listens to."""
    return (
        f"{who} takes {duration(seconds)} a batch, longer than the {step} itself ({duration(step_seconds)}): "
        f"{share:.0%} of the time of a batch. Have it do its work less often, as with @trainhooks.every(steps=100), or "
        "at the end of the epoch. (Where it reads what the step still computes, it is charged with the wait for that.) "
        "print(trainhooks.profile(run)) shows where the time goes."
    )


def duration(seconds: float) -> str:
    """``7205 s``, ``1.2 s``, ``34 ms`` or ``5.6 us``: three digits, or all seconds."""
    if seconds >= 999.5:
        return f"{seconds:.0f} s"
    unit, size = next((one for one in (("s", 1.0), ("ms", 1e-3)) if seconds >= 0.9995 * one[1]), ("us", 1e-6))
    return f"{seconds / size:.3g} {unit}"


def misplaced_batch(top: str, places: Sequence[str]) -> GrammarError:
    hint = " Open 'pass' first." if top == "epoch" else ""
    return GrammarError(f"a batch has its place in {listing(places)}, and open is {top!r}.{hint}")
