"""The shell around the engines: ports, tenant loop, prefetch, group commit, timers, ownership."""
