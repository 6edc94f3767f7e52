"""Kernels on disk, computed by jobs that may be interrupted and shared between processes."""

from ._kernel_file import KernelFile as KernelFile
from ._kernel_file import open_kernel as open_kernel
