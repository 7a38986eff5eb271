"""`python -m tests.simulation SEED [--real]`: runs one world again, and says what happened in it."""

import sys

from tests.simulation.runs import be_quiet, digest, run_world


def main() -> int:
    be_quiet()
    run = run_world(int(sys.argv[1]), is_real="--real" in sys.argv[2:])
    if run.outcome is None:
        sys.stdout.write(run.broken + "\n")
        return 1
    for name, count in sorted({**run.outcome.faults, **vars(run.outcome.figures)}.items()):
        sys.stdout.write(f"{count:>16} {name}\n")
    sys.stdout.write(f"{digest(run.outcome)} all promises kept over {run.outcome.simulated_s / 3600:.1f} h\n")
    return 0


sys.exit(main())
