"""``nas.audit`` on a module of the caller's own."""

from __future__ import annotations

from torch import nn

import nas
import nas.data


def test_an_audit_leaves_every_part_of_the_callers_module_in_its_mode():
    data = nas.data.load("phantom:n=60,seed=5", image_size=32)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(), nn.Linear(4 * 30 * 30, 3)).train()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    nas.audit(model, data, level="screen")
    assert [module.training for module in model.modules()] == modes
