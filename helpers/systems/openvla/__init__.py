"""OpenVLA (arXiv:2406.09246): the next action of a robot's arm from one picture and an instruction."""
