"""Nodes' figures as metrics: nodes may not speak to CloudWatch; they tell the control plane, and this publishes."""
