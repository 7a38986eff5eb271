"""The dashboards, one file each, in the order in which people need them."""

from collections.abc import Callable
from typing import Final

from grafana.board import Board
from grafana.boards import fleet, path, power, province, room, today
from grafana.edition import Edition

BOARDS: Final[tuple[Callable[[Edition], Board], ...]] = (
    today.board,
    room.board,
    path.board,
    power.board,
    fleet.board,
    province.board,
)
