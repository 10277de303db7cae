import optuna
import pytest

from nas.engine.pruning import LateHalving, make_pruner
from nas.engine.settings import SearchSettings


def run(study, losses):
    """Report losses epoch by epoch; returns the epochs trained."""
    trial = study.ask()
    for epoch, loss in enumerate(losses, start=1):
        trial.report(loss, epoch)
        if epoch < len(losses) and trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return epoch
    study.tell(trial, losses[-1])
    return len(losses)


def test_the_first_candidates_finish_and_later_poor_ones_stop_at_the_first_rung():
    study = optuna.create_study(pruner=LateHalving(2, start=3), sampler=optuna.samplers.RandomSampler(seed=0))
    assert [run(study, [loss] * 6) for loss in (0.5, 0.9, 0.8)] == [6, 6, 6]
    assert run(study, [1.0] * 6) == 2
    assert run(study, [0.1] * 6) == 6


def test_one_epoch_or_no_pruning_prunes_nothing():
    assert isinstance(make_pruner(1, True), optuna.pruners.NopPruner)
    assert isinstance(make_pruner(9, False), optuna.pruners.NopPruner)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [({}, False), ({"trials": 11}, True), ({"trials": 11, "prune": False}, False), ({"prune": True}, True)],
)
def test_a_few_trials_are_all_trained_to_the_end(asked, expected):
    assert SearchSettings(**asked).pruning is expected
