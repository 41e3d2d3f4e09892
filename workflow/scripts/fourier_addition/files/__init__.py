"""Files: written whole or not at all, described by manifests, checked before they are read."""
