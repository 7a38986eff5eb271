"""`python -m collector` is `sansang-collector`."""

from collector.cli import main

raise SystemExit(main())
