"""The machine at hand: devices, processes, signals, meters."""
