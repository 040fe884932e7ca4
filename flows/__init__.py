"""Prefect's side of the pipeline: when stages run, where, how often they are tried again, and what people see of it.

These modules import `ram`; nothing imports them. Prefect and DVC read their switches while they are imported, so the
environment is set here, before any module of this package can import them.
"""

from __future__ import annotations

from flows import environment

environment.apply()
