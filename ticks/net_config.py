"""config.json of a checkpoint: what is needed to build its net, to use it and to evaluate it."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from jobs.spec.job_spec import JobSpec
from jobs.spec.text import vocabulary_of
from ticks.data.load import JobData
from ticks.objectives import make_criterion
from ticks.trainer import Trainer


def describe_net(spec: JobSpec, data: JobData, trainer: Trainer) -> dict[str, Any]:
    """Return the content of config.json."""
    config: dict[str, Any] = {
        "inputs": spec.profile.features,
        "outputs": spec.profile.outputs,
        "objective": spec.objective,
        "parameters": sum(parameter.numel() for parameter in trainer.parameters),
        "model": spec.model.model_dump(mode="json"),
        "threads": spec.compute.threads,
        **data.column_info,
    }
    if spec.compute.precision != "float32":
        config["precision"] = spec.compute.precision
    scalings = {"scale": data.scaling, "target_scale": data.target_scaling}
    for name, scaling in scalings.items():
        if scaling is not None:
            config[name] = {part: values.tolist() for part, values in scaling._asdict().items()}
    if spec.profile.text is not None and vocabulary_of(spec.model) == "characters":
        config["vocabulary"] = list(spec.profile.text.vocabulary)
    if trainer.class_weights is not None:
        config["class_weights"] = trainer.class_weights
    if spec.label_smoothing:
        config["label_smoothing"] = spec.label_smoothing
    return config


def criterion_of(config: Mapping[str, Any]) -> nn.Module:
    """Return the loss function that a net of this config was trained by."""
    return make_criterion(
        config["objective"], config.get("class_weights"), config.get("label_smoothing", 0.0)
    )
