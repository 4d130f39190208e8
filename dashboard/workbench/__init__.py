"""Questions in SQL that readers write themselves, answered by a process that can do nothing else.

    page → pool.py → (pipe) → worker.py: rules.py decides, then a locked DuckDB connection answers

The page never runs a reader's text. The worker holds one read-only connection to one snapshot, without files,
network, extensions or settings; what it may be asked is written in rules.py and functions.txt.
"""
