"""The preset dictionary of format version 1: text that batches are made of, so that deflate need not send it.

Frozen for ever: a batch written with it must decode in twenty years. A better dictionary is a new format version.
The most frequent text stands last, where deflate reaches it with the shortest distances.
"""

from typing import Final

_RARE: Final = (
    '"certificate expires","connection refused","no answer within ","timed out","no route to host","does not resolve"'
    ',"o":"denied","o":"absent","o":"broken","o":"no_name","o":"refused","o":"unreachable","o":"timeout","t":"'
    '"low_battery_bool":0,"output_source_code":3,"alarms_count":0,"battery_replace_bool":0,"battery_celsius":25.0,'
    '"battery_v":27.2,"output_v":230.0,"input_hz":50.0,"input_v":228.0,"load_ratio":0.21,"battery_runtime_s":1800.0,'
    '"battery_charge_ratio":1.0,"on_battery_bool":0'
    '"if_discards_total":0,"if_errors_total":0,"if_sent_bytes_total":12,"if_received_bytes_total":34,'
    '"if_speed_bps":1000000000.0,"if_up_bool":1,"response_ms":3.1,"uptime_s":86400.0'
    '"expected_bool":1,"rcode_code":0,"ttl_min_s":300.0,"answers_count":2,"answer_ms":12.5'
    '"redirect_bool":0,"tls_trusted_bool":1,"tls_expires_days":60.0,"body_bytes":1024,"status_code":200,'
    '"total_ms":120.0,"first_byte_ms":90.0,"tls_ms":40.0,"connect_ms":20.0,"resolve_ms":5.0'
    '"clock_synced_bool":1,"address_link_local_bool":0,"nic_drops_total":0,"nic_errors_total":0,'
    '"nic_received_bytes_total":1,"nic_sent_bytes_total":1,"nic_full_duplex_bool":1,"nic_speed_bps":1000000000.0,'
    '"nic_up_bool":1,"agent_cpu_s":1.0,"agent_rss_bytes":30000000,"disk_free_bytes":100000000000,'
    '"disk_free_ratio":0.5,"memory_free_bytes":4000000000,"memory_free_ratio":0.5,"cpu_ratio":0.1'
)
_FREQUENT: Final = (
    '"projector","screen","microphone-1","microphone-2","speaker","camera-1","camera-2","codec","ups","dns","router"'
    '"lesson-teams":{"v":{"lesson-zoom":{"v":{"national":{"v":{"international":{"v":{"isp":{"v":{"gateway":{"v":{'
    '}},"power":{"ups":{"v":{}},"snmp":{"tcp":{"http":{"dns":{"host":{"pc":{"v":{'
    '"received_count":0,"loss_ratio":1.0}},"d":1.0}'
    '{"v":{"sent_count":10,"received_count":10,"loss_ratio":0.0,"rtt_min_ms":0.5,"rtt_avg_ms":1.2,"rtt_p50_ms":1.1,'
    '"rtt_p95_ms":2.3,"rtt_max_ms":3.4,"jitter_ms":0.4},"d":2.0'
    '{"e":"","l":1,"f":1,"made":0,"dropped":0,"n":{"b":"","m":1.0,"w":1700000000.0},"r":[{"m":1.0,"w":1700000000.0,'
    '"b":"","r":{"ping":{"'
)

VERSION_1: Final = (_RARE + _FREQUENT).encode()
