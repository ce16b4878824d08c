"""A script for Optuna as its documentation has it, for benchmarks/peers_pruning.py."""

from __future__ import annotations

import warnings

import optuna
import torch
from contest import Contender, Contest, NoNetworkError
from given_network import Input, train_given

from deploy.architecture_latency import measure_architecture
from minnow.input_sides import default_resolutions
from nas.architecture import Architecture
from nas.networks import build
from nas.spaces.mobilenet import MobileNet
from training.fit import Progress
from training.preprocess import IMAGENET
from training.step import DivergedError

_TRIAL_EPOCHS = 10  # as in Optuna's example of PyTorch


def optuna_search(contest: Contest) -> Contender:
    """Search ``mobilenet``'s decisions for as long as Minnow's search took, and train the best network.

    One categorical suggestion per decision, TPESampler and MedianPruner with their defaults, the latency
    as a constraint. Every trial is trained from scratch on labels, and so is the best network, longer.

    Raises:
        NoNetworkError: no finished trial is within the limit.
    """
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data = contest.data
    space = MobileNet(resolutions=default_resolutions(data.size))
    trained = contest.student(taught=False, inherits=False, epochs=min(_TRIAL_EPOCHS, contest.epochs))

    def network(trial: optuna.trial.BaseTrial) -> Architecture:
        options = {decision.name: range(len(decision.options)) for decision in space.decisions}
        point = [trial.suggest_categorical(name, list(numbers)) for name, numbers in options.items()]
        return space.decode(space.canonical(point))

    def objective(trial: optuna.Trial) -> float:
        architecture = network(trial)
        latency = measure_architecture(architecture, data.num_classes)
        trial.set_constraint("latency_ms", latency.median_ms - contest.limit_ms)

        def report(progress: Progress) -> None:
            if progress.step or progress.val_f1 is None:
                return  # inside an epoch
            trial.report(progress.val_f1, progress.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        torch.manual_seed(contest.seed + trial.number)
        model, sees = build(architecture, data.num_classes), Input(architecture.resolution, IMAGENET)
        return train_given(model, sees, data, trained, None, report=report).val.f1

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=contest.seed),
        pruner=optuna.pruners.MedianPruner(),
    )
    study.optimize(objective, timeout=contest.needed["search_seconds"], catch=(DivergedError,))
    try:
        best = network(optuna.trial.FixedTrial(study.best_trial.params))
    except ValueError:
        raise NoNetworkError(
            f"no trial of {len(study.trials)} is finished and within the limit"
        ) from None
    student = contest.student(taught=False, inherits=False)
    torch.manual_seed(contest.seed)
    model, sees = build(best, data.num_classes), Input(best.resolution, IMAGENET)
    fitted = train_given(model, sees, data, student, None)
    states = [trial.state.name for trial in study.trials]
    facts = {"trials": len(states), "pruned_trials": states.count("PRUNED")}
    return Contender(fitted.model.to("cpu"), sees, student, facts)
