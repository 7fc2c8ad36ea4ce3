"""Keys that are old enough give way; encryption keys rotate when asked (claims W2.5, W2.6, W3.6)."""
