"""The machine under us: processes, control groups, memory, CPU time, GPUs and addresses, in numbers."""
