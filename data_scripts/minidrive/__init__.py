"""MiniDrive: a seeded, procedural street world written in the layout of the nuScenes data set.

Frames, as in nuScenes (Caesar et al., "nuScenes: a multimodal dataset for autonomous driving", CVPR 2020, and the
schema of nuscenes-devkit): global x, y, z up; ego x forward, y left, z up, origin on the ground under the rear axle;
LIDAR_TOP x right, y forward, z up; camera x right, y down, z forward. Meters, seconds, radians; colors are BGR 0..255.
"""
