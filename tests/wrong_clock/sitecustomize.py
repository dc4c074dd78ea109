"""In ``PYTHONPATH``: a Python whose clock is off by ``TEST_CLOCK_OFF_S`` seconds, from its first line on."""

import os
import time

_real, _off_s = time.time, float(os.environ.get("TEST_CLOCK_OFF_S", "0"))

time.time = lambda: _real() + _off_s
time.time_ns = lambda: int(time.time() * 1e9)
