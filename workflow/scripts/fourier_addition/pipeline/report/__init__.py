"""The report: one HTML file, and a zip beside it, made of whatever lies in a folder of results."""
