"""The rulebook's long polls as a function of their own; its settings are those of `control_plane`."""
