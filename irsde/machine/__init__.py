"""The machine: devices, processes, signals, meters."""
