"""A study of Optuna on disk: which options are tried, and what became of them."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracking.tune_ranges import Choice, Range

STUDY = "tracker"
SETUP = "setup"  # attribute of the study


@dataclass(frozen=True)
class Trial:
    """Options that were tried, by name, and what was reached with them."""

    params: dict[str, Any]
    value: float


def require_optuna() -> Any:
    """Returns Optuna.

    Raises:
        ValueError: When it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ValueError('optuna is missing; `pip install optuna`, or `pip install -e ".[tune]"` here') from error
    return optuna


def run_study(
    journal: Path,
    setup: Mapping[str, Any],
    ranges: Mapping[str, Range],
    first: Mapping[str, Any],
    evaluate: Callable[[Mapping[str, Any]], float],
    trials: int,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Trial]:
    """Runs a study, or goes on with it, until it has so many trials; returns them in their order.

    Each trial is drawn by a generator of its own, made from the seed and the trial's number, so that a study that was
    interrupted has the same trials as one that was not.

    Args:
        journal: File of the study; it is appended to after every trial.
        setup: What the values depend on, as JSON knows it; "seed" is that of the trials.
        ranges: What is tried.
        first: Options of the first trial, those that have a range; where one lies outside, the first is drawn too.
        evaluate: From options to the value, which is made as high as possible.
        trials: How many in all.
        advance: Called with the number of trials since the last call.

    Raises:
        ValueError: When Optuna is missing, or the journal is damaged or of another setup.
    """
    optuna = require_optuna()
    journal.parent.mkdir(parents=True, exist_ok=True)
    with _quiet(optuna):
        study = _open(optuna, journal, setup)
        if not study.trials and all(first[name] in span for name, span in ranges.items()):
            study.enqueue_trial({name: first[name] for name in ranges})
        for trial in study.trials:
            if trial.state == optuna.trial.TrialState.RUNNING:
                _finish(study, trial, ranges, evaluate)
        done = len(_complete(study))
        advance(min(done, trials))
        while done < trials:
            number = len(study.trials) - len(study.get_trials(states=(optuna.trial.TrialState.WAITING,)))
            words = np.random.SeedSequence([setup["seed"], number]).generate_state(1)
            # multivariate: options of a tracker depend on each other
            study.sampler = optuna.samplers.TPESampler(seed=int(words[0]), multivariate=True)
            trial = study.ask()
            params = {name: _suggest(trial, name, span) for name, span in ranges.items()}
            study.tell(trial, evaluate(params))
            done += 1
            advance(1)
        return _complete(study)[:trials]


def _open(optuna: Any, journal: Path, setup: Mapping[str, Any]) -> Any:
    """Returns the study in a file, which is made where there is none."""
    try:
        backend = optuna.storages.journal.JournalFileBackend(str(journal))
        storage = optuna.storages.JournalStorage(backend)
        study = optuna.create_study(study_name=STUDY, storage=storage, direction="maximize", load_if_exists=True)
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"{journal}: not a readable study ({error}); remove it or give another folder") from error
    known = study.user_attrs.get(SETUP)
    if known is None:
        study.set_user_attr(SETUP, dict(setup))
    else:
        other = [name for name in {**known, **setup} if known.get(name) != setup.get(name)]
        if other:
            raise ValueError(
                f"{journal}: holds a study with another {', '.join(other)}; give another --out, or remove it"
            )
    return study


def _finish(
    study: Any, trial: Any, ranges: Mapping[str, Range], evaluate: Callable[[Mapping[str, Any]], float]
) -> None:
    """Ends a trial that an interruption left."""
    if set(trial.params) == set(ranges):
        study.tell(trial.number, evaluate({name: trial.params[name] for name in ranges}))
    else:
        study.tell(trial.number, state=type(trial.state).FAIL)


def _suggest(trial: Any, name: str, span: Range) -> Any:
    if isinstance(span, Choice):
        return trial.suggest_categorical(name, list(span.values))
    if span.whole:
        return trial.suggest_int(name, int(span.low), int(span.high), log=span.logarithmic)
    return trial.suggest_float(name, span.low, span.high, log=span.logarithmic)


def _complete(study: Any) -> list[Trial]:
    return [Trial(dict(trial.params), float(trial.value)) for trial in study.trials if trial.state.name == "COMPLETE"]


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Keeps Optuna's lines, one a trial and on options that are experiments to it, off the screen."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
