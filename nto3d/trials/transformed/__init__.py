"""The bundled sample as other people may have it: what differs in its files, and whether the mesh stays what it was."""
