"""Accuracy of what a network says, by the measure of its task. No torch."""
