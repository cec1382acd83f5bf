"""For people and scripts that look after this server: states, versions, runs, metrics."""
