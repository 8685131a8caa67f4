"""The volume of Occ3D-nuScenes (arXiv:2304.14365), whose labels MiniDrive has too: its extent and its classes."""

CLASSES = (
    *("others", "barrier", "bicycle", "bus", "car", "construction_vehicle", "motorcycle", "pedestrian", "traffic_cone"),
    *("trailer", "truck", "driveable_surface", "other_flat", "sidewalk", "terrain", "manmade", "vegetation", "free"),
)
FREE = CLASSES.index("free")
SHAPE = (200, 200, 16)  # voxels along x, y, z
VOXEL = 0.4  # m
LOW = (-40.0, -40.0, -1.0)  # lower corner of the first voxel in ego, m
