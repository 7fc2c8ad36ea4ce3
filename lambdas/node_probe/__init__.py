"""Nodes' figures, read at their own door: for deployments whose control plane, whom nodes tell them, is elsewhere."""
