"""SQL in, governed SQL out: pure stages, in the order of `planner`."""

from engine.pipeline.governed import Governed, Parameter
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.second_parser import Parse, SecondParser

__all__ = ["Governed", "Parameter", "Parse", "Pipeline", "SecondParser"]
