"""Bounds that a process puts on itself before it parses what nobody vouches for."""

from __future__ import annotations


def hold_memory(more: int) -> None:
    """No more address space than is in use now and `more` bytes, where the system can hold a process to that."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/statm", encoding="ascii") as sizes:
            used = int(sizes.read().split()[0]) * resource.getpagesize()
    except OSError:  # no Linux: the limit is on the whole
        used = 0
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = used + more if hard == resource.RLIM_INFINITY else min(used + more, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def hold_time(seconds: float) -> None:
    """The system ends this process after that much more work, even when no one is left to wait for it."""
    try:
        import resource
    except ImportError:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = max(1, round(usage.ru_utime + usage.ru_stime + seconds))
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
