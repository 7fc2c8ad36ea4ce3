"""The control plane: one REST API over the register and the chain, as a Lambda handler behind a load balancer."""
