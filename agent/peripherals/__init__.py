"""What hangs on the PC itself: cameras, microphones, speakers, screens; whether they are there, and never opened.

`fitted` holds what was seen against what is expected and is pure; `linux` reads sysfs(5) below a folder, `windows` asks
the Plug and Play manager and the registry.
"""

import sys

if sys.platform == "win32":
    from agent.peripherals.windows import find_fitted
else:
    from agent.peripherals.linux import find_fitted

__all__ = ["find_fitted"]
