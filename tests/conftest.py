"""What all tests share: hypothesis judges by answers, never by the clock (house rule 7)."""

from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")
