"""Ground and walls: the stacks that `cdk deploy` creates, and a node's boot files. Nothing is looked up at synth."""
