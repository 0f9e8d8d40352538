CACHE = "/tmp/cache/x"
CPU = "/proc/cpuinfo"
