# How the model adds: phases turned, bands exchanged, heads and neurons named, helices fitted, progress followed.
