"""The staff that comes when a bell rings: one room per event."""
