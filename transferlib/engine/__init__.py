"""What a long run needs behind `fit`: memory, several processes, its state, and a way to go on after a kill.

Knows nothing of where images come from or of what a page says. `state` holds what a run in progress consists of;
what shall survive a kill is a field there and two lines in `resume`.
"""
