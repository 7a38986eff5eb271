"""The plans of the demo: one for the simulated rooms, one for this PC."""

from typing import Final

from agent.network.nic import default_route

TICK_S: Final = 2

ROOM_PLAN: Final = f"""\
tick_s = {TICK_S}
profile = "zoom-720p"

[[probe]]
name = "ping"
target = "gateway"
address = "192.168.1.1"
count = 5
spacing_s = 0.1
timeout_s = 0.5

[[probe]]
name = "ping"
target = "isp"
address = "192.0.2.1"
count = 5
spacing_s = 0.1
timeout_s = 0.5

[[probe]]
name = "ping"
target = "international"
address = "198.51.100.1"
count = 5
spacing_s = 0.1
timeout_s = 0.5

[[probe]]
name = "ping"
target = "lesson-zoom"
address = "203.0.113.10"
count = 5
spacing_s = 0.1
timeout_s = 0.5

[[probe]]
name = "tcp"
target = "lesson-zoom"
address = "203.0.113.10"
port = 443
timeout_s = 0.9

[[probe]]
name = "http"
target = "lesson-zoom"
url = "https://203.0.113.10/"
timeout_s = 2
every_s = {TICK_S * 5}

[[probe]]
name = "dns"
target = "dns"
name_wanted = "zoom.us"
every_s = {TICK_S * 5}

[[probe]]
name = "ping"
target = "codec"
address = "192.168.1.20"
count = 5
spacing_s = 0.1
timeout_s = 0.5

[[probe]]
name = "ping"
target = "camera-1"
address = "192.168.1.21"
count = 5
spacing_s = 0.1
timeout_s = 0.5

[[probe]]
name = "ping"
target = "microphone-1"
address = "192.168.1.22"
count = 5
spacing_s = 0.1
timeout_s = 0.5

[[probe]]
name = "ping"
target = "screen"
address = "192.168.1.23"
count = 5
spacing_s = 0.1
timeout_s = 0.5

[[probe]]
name = "host"
every_s = {TICK_S * 5}

[[probe]]
name = "power"
target = "ups"
nut = "192.168.1.30/ups"
timeout_s = 0.6
"""

_THIS_PC: Final = """\
tick_s = {tick}
profile = "zoom-720p"

[[probe]]
name = "boot"
every_s = 300

[[probe]]
name = "host"
every_s = {slow}

[[probe]]
name = "power"
every_s = {slow}

[[probe]]
name = "ping"
target = "lesson-loopback"
address = "127.0.0.1"
count = 5
spacing_s = 0.1
timeout_s = 0.5

[[probe]]
name = "tcp"
target = "collector-broker"
address = "127.0.0.1"
port = {broker_port}
timeout_s = 0.9

[[probe]]
name = "http"
target = "collector-pages"
url = "http://127.0.0.1:{web_port}/healthz"
expect_status = [200]
timeout_s = 2
every_s = {slow}

[[probe]]
name = "dns"
target = "dns"
name_wanted = "lesson.demo"
server = "127.0.0.1"
port = {dns_port}
every_s = {slow}

[[probe]]
name = "link"
portal_url = "http://127.0.0.1:{web_port}/healthz"
portal_body = "ok\\n"
mtu_address = "127.0.0.1"
collector = "127.0.0.1:{broker_port}"
collector_tls = false
timeout_s = 0.5
every_s = 20
"""

_OUTWARD = """\
gateway = "auto"
name_wanted = "zoom.us"
"""

_LINK: Final = """
[[probe]]
name = "dns"
target = "dns-system"
name_wanted = "zoom.us"
every_s = {slow}

[[probe]]
name = "http"
target = "lesson-zoom"
url = "https://zoom.us/"
every_s = {rare}

[[probe]]
name = "http"
target = "lesson-teams"
url = "https://teams.microsoft.com/"
every_s = {rare}

[[probe]]
name = "http"
target = "lesson-meet"
url = "https://meet.google.com/"
every_s = {rare}

[[probe]]
name = "tcp"
target = "lesson-zoom"
address = "zoom.us"
port = 443
every_s = {slow}
"""

_GATEWAY: Final = """
[[probe]]
name = "ping"
target = "gateway"
address = "{gateway}"
count = 5
timeout_s = 1
every_s = {slow}
"""


def this_pc_plan(*, broker_port: int, web_port: int, dns_port: int, link: bool) -> str:
    """What the real agent measures: this PC and servers on loopback; with `link` its gateway, resolver and the
    lesson platforms too.
    """
    slow, rare = 10, 30
    text = _THIS_PC.format(tick=TICK_S, slow=slow, broker_port=broker_port, web_port=web_port, dns_port=dns_port)
    if not link:
        return text
    text += _OUTWARD
    route = default_route()
    if route is not None and route.gateway:
        text += _GATEWAY.format(gateway=route.gateway, slow=slow)
    return text + _LINK.format(slow=slow, rare=rare)
