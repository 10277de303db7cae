"""Intervals, bootstrap over groups, ROC areas and paired comparisons; numpy and scipy only."""

from nas.statistics import bootstrap, groups, intervals, paired, ranking
from nas.statistics.intervals import clopper_pearson, proportion, wilson
from nas.statistics.paired import Difference, conclude, holm, mcnemar, nadeau_bengio
from nas.statistics.ranking import auc, auc_interval, compare_auc, macro_auc

__all__ = [
    "Difference",
    "auc",
    "auc_interval",
    "bootstrap",
    "clopper_pearson",
    "compare_auc",
    "conclude",
    "groups",
    "holm",
    "intervals",
    "macro_auc",
    "mcnemar",
    "nadeau_bengio",
    "paired",
    "proportion",
    "ranking",
    "wilson",
]
