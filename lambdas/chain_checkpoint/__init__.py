"""Lays signed checkpoints of the administrative chains into the audit store, at least hourly."""
