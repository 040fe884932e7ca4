"""Rounds of the data engine: generate, clean, retrain, and again with the retrained model; what each one changed."""

from ram.registry.rounds.params import RoundParams
from ram.registry.rounds.record import ROUNDS_PATH, note_round, read_rounds

__all__ = ["ROUNDS_PATH", "RoundParams", "note_round", "read_rounds"]
