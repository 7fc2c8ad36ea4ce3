"""The end of a node: drained, erased, proved, released; or kept and told of (claims W2.7, W6.1)."""
