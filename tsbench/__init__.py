"""Find the knee of accuracy against test-time compute."""

from tsbench.knee import Knee, locate

__all__ = ["Knee", "locate"]
