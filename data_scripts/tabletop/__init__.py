"""A tabletop: a robot's arm, a few colored things, a camera, and instructions to reach one of them.

Frame: origin in the middle of the table, x right, y away from the camera, z up; meters and radians.
"""
