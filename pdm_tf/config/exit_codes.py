"""Exit codes of the programs: what a script that starts them can rely on."""

OK = 0
UNEXPECTED = 1  # a defect of ours; the traceback is printed
BAD_INPUT = 2  # flags or data that cannot be used; the message says which
NON_FINITE_LOSS = 3  # training diverged; the last good checkpoint is intact
INTERRUPTED = 75  # stopped by a signal after saving; start again to go on (EX_TEMPFAIL)
ABORTED = 130  # Ctrl-C with nothing saved (128 + SIGINT, as shells report it)
