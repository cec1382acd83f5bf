"""Tools for coding agents: the Model Context Protocol, over HTTP and over stdio."""
