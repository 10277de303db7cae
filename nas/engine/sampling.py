"""The sampler of a search, made the same way by every worker."""

from __future__ import annotations

from typing import Any

from nas.engine.context import Context


def build_sampler(context: Context) -> Any:
    """The Optuna sampler that the settings name, for this space, budget and seed."""
    from nas.generator import make_sampler

    options: dict[str, Any] = {}
    if context.prototype is not None:
        options["prototype"] = context.prototype
    return make_sampler(context.settings.sampler, context.space, context.budget, context.settings.seed, **options)
