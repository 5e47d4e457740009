"""Tables and figures, made from result files only; nothing here imports torch."""
