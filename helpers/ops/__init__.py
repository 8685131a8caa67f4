"""The custom operators, one file each, and the library of their compiled kernels. Importing this needs no torch."""
