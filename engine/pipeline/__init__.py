"""SQL in, governed SQL out: pure stages, in the order of STAGES."""
