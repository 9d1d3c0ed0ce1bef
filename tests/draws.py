"""Every test draws the same numbers, whichever tests its process ran before it.

A file of tests has one generator, which all of its tests draw from. Where several processes share
the tests, no two runs would hand them out in the same order, and a tolerance of a few standard
errors would fail once in so many runs.
"""

import numpy as np
import pytest


class Draws:
    """Puts the generators of a file back to where they stood once it was imported."""

    def __init__(self):
        self.beginnings = {}

    def pytest_collection_finish(self, session):
        for module in {item.module for item in session.items if hasattr(item, "module")}:
            self.beginnings[module] = [
                (value, value.bit_generator.state)
                for value in vars(module).values()
                if isinstance(value, np.random.Generator)
            ]

    def begin(self, module):
        for generator, state in self.beginnings.get(module, ()):
            generator.bit_generator.state = state

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef, request):
        if fixturedef.scope != "session":
            self.begin(request.module)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item):
        self.begin(getattr(item, "module", None))
