"""Training of the mini OmniDrive: the vision part first, then the language model that plans."""
