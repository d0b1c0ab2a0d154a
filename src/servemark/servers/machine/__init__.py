"""What servers do to this machine and need of it: processes, control groups, memory, CPU time and GPUs, in numbers."""
