"""Every reason that a verdict can give, causes before their consequences."""

import enum


class Code(enum.StrEnum):
    """Each has three entries in the catalogue: `finding.` what is wrong, `action.` who does what, `cause.` in short.

    The order decides between findings of one level: what stands above is nearer to the cause.
    """

    # Nothing, or nothing new, is known.
    COLLECTOR_BLIND = "COLLECTOR_BLIND"
    AGENT_CLONED = "AGENT_CLONED"
    NEVER_HEARD = "NEVER_HEARD"
    ROOM_SILENT_ON_BATTERY = "ROOM_SILENT_ON_BATTERY"
    ROOM_SILENT = "ROOM_SILENT"
    PC_SWITCHED_OFF = "PC_SWITCHED_OFF"
    PC_ASLEEP = "PC_ASLEEP"
    AGENT_UPDATING = "AGENT_UPDATING"
    AGENT_STOPPED = "AGENT_STOPPED"
    BUDGET_SILENT = "BUDGET_SILENT"
    # Power.
    POWER_CUT_DEVICES_OFF = "POWER_CUT_DEVICES_OFF"
    POWER_ON_BATTERY = "POWER_ON_BATTERY"
    POWER_BATTERY_LOW = "POWER_BATTERY_LOW"
    POWER_RUNTIME_SHORT = "POWER_RUNTIME_SHORT"
    POWER_RUNTIME_UNKNOWN = "POWER_RUNTIME_UNKNOWN"
    # The way to the lesson, rung by rung.
    NIC_DOWN = "NIC_DOWN"
    NO_ADDRESS = "NO_ADDRESS"
    LAN_DOWN = "LAN_DOWN"
    GATEWAY_DOWN = "GATEWAY_DOWN"
    ISP_DOWN = "ISP_DOWN"
    NO_INTERNET = "NO_INTERNET"
    INTERNATIONAL_DOWN = "INTERNATIONAL_DOWN"
    CAPTIVE_PORTAL = "CAPTIVE_PORTAL"
    DNS_LIES = "DNS_LIES"
    DNS_FAILS = "DNS_FAILS"
    MTU_HOLE = "MTU_HOLE"
    LESSON_UNREACHABLE = "LESSON_UNREACHABLE"
    SERVICE_DOWN = "SERVICE_DOWN"
    # Devices.
    AV_ALL_LOST = "AV_ALL_LOST"
    CODEC_LOST = "CODEC_LOST"
    CAMERA_LOST = "CAMERA_LOST"
    MICROPHONE_LOST = "MICROPHONE_LOST"
    DSP_LOST = "DSP_LOST"
    SPEAKER_LOST = "SPEAKER_LOST"
    SCREEN_LOST = "SCREEN_LOST"
    PROJECTOR_LOST = "PROJECTOR_LOST"
    DEVICE_LOST = "DEVICE_LOST"
    # What devices say of their parts.
    CAMERA_FAILED = "CAMERA_FAILED"
    MICROPHONE_FAILED = "MICROPHONE_FAILED"
    LAMP_FAILED = "LAMP_FAILED"
    PART_FAILED = "PART_FAILED"
    CODEC_UNREGISTERED = "CODEC_UNREGISTERED"
    PART_BLOCKED = "PART_BLOCKED"
    PART_MUTED = "PART_MUTED"
    CALL_POOR = "CALL_POOR"
    PART_WARNING = "PART_WARNING"
    LAMP_WORN = "LAMP_WORN"
    # How good the way is.
    LAN_LOSSY = "LAN_LOSSY"
    LINK_DROPS = "LINK_DROPS"
    LINK_LOSSY = "LINK_LOSSY"
    LINK_NARROW = "LINK_NARROW"
    LINK_CONGESTED = "LINK_CONGESTED"
    LINK_SLOW = "LINK_SLOW"
    LINK_JITTERY = "LINK_JITTERY"
    AUDIO_POOR = "AUDIO_POOR"
    DNS_SLOW = "DNS_SLOW"
    SERVICE_ERROR = "SERVICE_ERROR"
    CERTIFICATE_EXPIRES = "CERTIFICATE_EXPIRES"
    # What could not be determined.
    NO_READING = "NO_READING"
    MEASUREMENT_FAILS = "MEASUREMENT_FAILS"
    QUALITY_UNKNOWN = "QUALITY_UNKNOWN"
    READING_OLD = "READING_OLD"
    SNMP_SILENT = "SNMP_SILENT"
    DEVICE_SILENT = "DEVICE_SILENT"
    PART_UNKNOWN = "PART_UNKNOWN"
    ONE_PC_SILENT = "ONE_PC_SILENT"
    # The PC, the mains and the battery.
    MAINS_VOLTAGE_LOW = "MAINS_VOLTAGE_LOW"
    MAINS_VOLTAGE_HIGH = "MAINS_VOLTAGE_HIGH"
    MAINS_FAIL_OFTEN = "MAINS_FAIL_OFTEN"
    UPS_OVERLOAD = "UPS_OVERLOAD"
    BATTERY_HOT = "BATTERY_HOT"
    BATTERY_CHARGE_LOW = "BATTERY_CHARGE_LOW"
    BATTERY_REPLACE = "BATTERY_REPLACE"
    UPS_SILENT = "UPS_SILENT"
    CLOCK_WRONG = "CLOCK_WRONG"
    BUDGET_SPENT = "BUDGET_SPENT"
    PC_DISK_LOW = "PC_DISK_LOW"
    PC_MEMORY_LOW = "PC_MEMORY_LOW"
    PC_BUSY = "PC_BUSY"
    NIC_SLOW = "NIC_SLOW"

    @property
    def rank(self) -> int:
        """Place in the order above, 0 first."""
        return _RANK[self]


_RANK = {code: rank for rank, code in enumerate(Code)}

LOST_BY_ROLE = {
    "codec": Code.CODEC_LOST,
    "camera": Code.CAMERA_LOST,
    "microphone": Code.MICROPHONE_LOST,
    "dsp": Code.DSP_LOST,
    "speaker": Code.SPEAKER_LOST,
    "screen": Code.SCREEN_LOST,
    "projector": Code.PROJECTOR_LOST,
}
"""What a lost device is called; every other role is DEVICE_LOST."""
