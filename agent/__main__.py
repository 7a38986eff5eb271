"""`python -m agent` is `sansang-agent`."""

from agent.cli import main

raise SystemExit(main())
