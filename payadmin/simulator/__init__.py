"""The payment provider of demos and tests: an HTTP service of its own with test cards, a journal and faults on request.

It imports nothing else of payadmin and shares no process with it, so that it survives the death of workers and its
journal, not the application, says what was captured. The protocol is written down in `door` and `wire`; anything that
speaks it can take its place.
"""

from payadmin.simulator.door import serve

__all__ = ["serve"]
