"""May the challenger replace the champion? What is known of a version, how two are compared, and the rules."""

from ram.registry.promotion.params import PromotionParams
from ram.registry.promotion.rules import Candidate, Finding, judge

__all__ = ["Candidate", "Finding", "PromotionParams", "judge"]
