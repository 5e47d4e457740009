"""Why somebody else's number differs from the printed one."""
