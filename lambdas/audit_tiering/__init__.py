"""Looks after the audit's objects: sealed by day, checked against the plan, restored on request (W5.9, W5.10)."""
