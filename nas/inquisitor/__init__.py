"""The inquisitor: cross-examines a trained classifier. Does it decide from the lungs, or from what surrounds them?

Effects of edits with the same artefact in both arms, exact nulls, three-way verdicts; attribution may raise a suspicion
and cannot acquit.
"""

from nas.inquisitor.audit import audit_model
from nas.inquisitor.blind_spots import BLIND_SPOTS
from nas.inquisitor.context import FULL, SCREEN, Case, Settings
from nas.inquisitor.crossfit import CrossFitted
from nas.inquisitor.decision import Explanation, explain_decision
from nas.inquisitor.engine import Engine, Exhibits
from nas.inquisitor.margins import Margin, Margins
from nas.inquisitor.probes import BlockProbe, block_probes, probe_blocks
from nas.inquisitor.susceptibility import Susceptibility, susceptibility
from nas.inquisitor.tests.base import AUDIT_TESTS, AuditTest, SwapTest, audit_descriptions, register_audit_test

__all__ = [
    "AUDIT_TESTS", "BLIND_SPOTS", "FULL", "SCREEN", "AuditTest", "BlockProbe", "Case", "CrossFitted", "Engine", "Exhibits", "Explanation", "Margin", "Margins",
    "Settings", "Susceptibility", "SwapTest", "audit_descriptions", "audit_model", "block_probes", "explain_decision", "probe_blocks", "register_audit_test", "susceptibility",
]  # fmt: skip
