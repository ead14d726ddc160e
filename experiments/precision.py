"""The arithmetic that suits this machine's processor."""

from pathlib import Path


def native_precision() -> str:
    """Returns "bf16" where the processor multiplies it natively (half the time of a training), otherwise "no"."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "no"
