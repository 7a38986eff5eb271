"""`python -m collector` and `sansang-collector`: says in one sentence when only the agent's part is installed."""

import sys

_OURS = ("agent", "collector", "contract", "deploy", "grafana", "readiness")


def main() -> int:
    """Run the program; 2 when packages are missing that only a collector needs."""
    try:
        from collector.cli import main as run  # noqa: PLC0415 - it imports what may be missing
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in _OURS:
            raise
        sys.stderr.write(
            f"sansang-collector: {missing} is missing; the centre needs: pip install 'sansang[collector]'\n"
        )
        return 2
    return run()


if __name__ == "__main__":
    raise SystemExit(main())
