"""Studies: several methods trained, evaluated and compared under equal conditions.

`plan.py` makes runs of a study's flags, `checking.py` finds what cannot work before the
first one starts, `running.py` trains what is missing, each run in a process of its own,
and `table.py` puts what they reached, and what they took, side by side.
"""
