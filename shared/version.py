"""Which Threadmill this is: in the documents that it serves, in its traces, and on the screen.

Not read from the installed package: the images hold the code alone.
"""

VERSION = "0.1.0"
