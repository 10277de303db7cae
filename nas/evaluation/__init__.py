"""Train and score one network: resident data, batched augmentation, trainer, metrics, the candidate on disk."""

from nas.evaluation.calibration import reliability_curve, roc_curve
from nas.evaluation.candidate import LoadedModel, load_candidate, save_candidate
from nas.evaluation.device import DeviceData
from nas.evaluation.errors import DivergedError, TrainingError
from nas.evaluation.metrics import confusion_matrix, metrics
from nas.evaluation.predict import in_evaluation_mode, predict_logits
from nas.evaluation.quality import balanced_accuracy, objective, objective_value, probabilities, quality
from nas.evaluation.trainer import Training, train

__all__ = [
    "DeviceData",
    "DivergedError",
    "LoadedModel",
    "Training",
    "TrainingError",
    "balanced_accuracy",
    "confusion_matrix",
    "in_evaluation_mode",
    "load_candidate",
    "metrics",
    "objective",
    "objective_value",
    "predict_logits",
    "probabilities",
    "quality",
    "reliability_curve",
    "roc_curve",
    "save_candidate",
    "train",
]
