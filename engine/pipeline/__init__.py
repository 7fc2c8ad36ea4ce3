"""SQL in, governed SQL out: pure stages, in the order of STAGES."""

from engine.pipeline.governed import Governed, Parameter
from engine.pipeline.pipeline import STAGES, Pipeline
from engine.pipeline.second_parser import Parse, SecondParser

__all__ = ["STAGES", "Governed", "Parameter", "Parse", "Pipeline", "SecondParser"]
