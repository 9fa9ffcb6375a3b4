"""Four platforms for the tests and the demo: one process, one origin each, real protocols.

`python -m tests.platforms --json` starts them; README.md beside this file lists the routes, the
faults and the counters. Nothing here knows what the agent sends: it is written from the platforms'
own documentation, and refuses what they would refuse.
"""
