"""`python -m tajdid` is the same as `tajdid`."""

from tajdid.cli import main

main()
