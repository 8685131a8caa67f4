"""Typical wrong answers to the exercises of notebooks/systems/fbocc.ipynb (form: ci/lessons/wrong.py)."""


# %% Exercise 1: floors the index
# says: floor would lose it
def voxel_of(points, low, size, cells):
    cell = np.floor((points - low) / size).astype(np.int64)
    inside = ((cell >= 0) & (cell < cells)).all(1)
    x, y, z = cell.T
    return np.where(inside, (z * cells[1] + y) * cells[0] + x, -1)


# %% Exercise 1: cuts first and tests afterwards, with everything below the border
# says: one voxel or more below the border
def voxel_of(points, low, size, cells):
    cell = np.maximum(np.trunc((points - low) / size), 0).astype(np.int64)
    x, y, z = cell.T
    return np.where((cell < cells).all(1), (z * cells[1] + y) * cells[0] + x, -1)


# %% Exercise 1: x is the slowest
# says: x is the fastest
def voxel_of(points, low, size, cells):
    position = (points - low) / size
    inside = ((position > -1) & (position < cells)).all(1)
    x, y, z = np.trunc(position).astype(np.int64).T
    return np.where(inside, (x * cells[1] + y) * cells[2] + z, -1)


# %% Exercise 1: rounds
# says: and not rounded
def voxel_of(points, low, size, cells):
    position = (points - low) / size
    inside = ((position > -1) & (position < cells)).all(1)
    x, y, z = np.rint(position).astype(np.int64).T
    return np.where(inside, (z * cells[1] + y) * cells[0] + x, -1)


# %% Exercise 1: forgets the upper border
# says: not below the upper border
def voxel_of(points, low, size, cells):
    position = (points - low) / size
    x, y, z = np.trunc(position).astype(np.int64).T
    return np.where((position > -1).all(1), (z * cells[1] + y) * cells[0] + x, -1)


# %% Exercise 1: the lesson's volume and not the arguments
# says: x is the fastest
def voxel_of(points, low, size, cells):
    position = (points - config.pc_range[:3]) / config.voxel_size
    cells = config.volume[::-1]
    inside = ((position > -1) & (position < cells)).all(1)
    x, y, z = np.trunc(position).astype(np.int64).T
    return np.where(inside, (z * cells[1] + y) * cells[0] + x, -1)


# %% Exercise 1: an index that is no integer
# says: an index is an integer
def voxel_of(points, low, size, cells):
    position = (points - low) / size
    inside = ((position > -1) & (position < cells)).all(1)
    x, y, z = np.trunc(position).T
    return np.where(inside, (z * cells[1] + y) * cells[0] + x, -1)


# %% Exercise 1: counts by y where it should by x
# says: as many as there are cells along x
def voxel_of(points, low, size, cells):
    position = (points - low) / size
    inside = ((position > -1) & (position < cells)).all(1)
    x, y, z = np.trunc(position).astype(np.int64).T
    return np.where(inside, (z * cells[0] + y) * cells[1] + x, -1)


# %% Exercise 1: keeps a point on the upper border
# says: not below the upper border
def voxel_of(points, low, size, cells):
    position = (points - low) / size
    inside = ((position > -1) & (position <= cells)).all(1)
    x, y, z = np.trunc(position).astype(np.int64).T
    return np.where(inside, (z * cells[1] + y) * cells[0] + x, -1)


# %% Exercise 1: keeps a point a whole voxel below
# says: one voxel or more below the border
def voxel_of(points, low, size, cells):
    position = (points - low) / size
    inside = ((position >= -1) & (position < cells)).all(1)
    x, y, z = np.trunc(position).astype(np.int64).T
    return np.where(inside, (z * cells[1] + y) * cells[0] + x, -1)


# %% Exercise 1: y ends where x does
# says: each axis has its own number
def voxel_of(points, low, size, cells):
    position = (points - low) / size
    x, y, z = np.trunc(position).astype(np.int64).T
    inside = (position > -1).all(1) & (x < cells[0]) & (y < min(cells[0], cells[1])) & (z < cells[2])
    return np.where(inside, (z * cells[1] + y) * cells[0] + x, -1)


# %% Exercise 1: the first point alone
# says: two points need two indices
def voxel_of(points, low, size, cells):
    position = (points[:1] - low) / size
    inside = ((position > -1) & (position < cells)).all(1)
    x, y, z = np.trunc(position).astype(np.int64).T
    return np.where(inside, (z * cells[1] + y) * cells[0] + x, -1)


# %% Exercise 1: integers of 16 bits, which end at 32,767
# says: 32 or 64 bits
def voxel_of(points, low, size, cells):
    position = (points - low) / size
    inside = ((position > -1) & (position < cells)).all(1)
    x, y, z = np.trunc(position).astype(np.int16).T
    return np.where(inside, (z * cells[1] + y) * cells[0] + x, -1).astype(np.int16)


# %% Exercise 1: by NumPy's own flat index, and within the bounds after the cut
# accepted
def voxel_of(points, low, size, cells):
    cut = np.trunc((points - low) / size).astype(np.int32)
    inside = ((cut >= 0) & (cut < cells)).all(1)
    found = np.full(len(points), -1)
    found[inside] = np.ravel_multi_index(cut[inside].T[::-1], tuple(cells[::-1]))
    return found


# %% Exercise 2: the voxels in place of the positions
# says: starts are positions
def runs_of(voxels):
    found, lengths = np.unique(voxels, return_counts=True)
    return found.astype(np.int32), lengths.astype(np.int32)


# %% Exercise 2: forgets the first run
# says: begins at point 0
def runs_of(voxels):
    starts = np.flatnonzero(voxels[1:] != voxels[:-1]) + 1
    return starts.astype(np.int32), np.diff(starts, append=len(voxels)).astype(np.int32)


# %% Exercise 2: forgets the end of the last run
# says: the last run has a length too
def runs_of(voxels):
    starts = np.unique(voxels, return_index=True)[1]
    return starts.astype(np.int32), np.diff(starts).astype(np.int32)


# %% Exercise 2: counts the voxels without points
# says: have no run
def runs_of(voxels):
    starts = np.unique(voxels, return_index=True)[1]
    return starts.astype(np.int32), np.bincount(voxels).astype(np.int32)


# %% Exercise 2: leaves the type to NumPy
# says: the graph takes int32
def runs_of(voxels):
    return np.unique(voxels, return_index=True, return_counts=True)[1:]


# %% Exercise 2: a start although there is no point
# says: no points have no runs
def runs_of(voxels):
    starts = np.concatenate([[0], np.flatnonzero(voxels[1:] != voxels[:-1]) + 1])
    return starts.astype(np.int32), np.diff(starts, append=len(voxels)).astype(np.int32)


# %% Exercise 2: a start too early
# says: the runs of 2 2 2 5 7 7 begin at
def runs_of(voxels):
    starts = np.concatenate([[0], np.flatnonzero(voxels[1:] != voxels[:-1])]) if len(voxels) else voxels
    return starts.astype(np.int32), np.diff(starts, append=len(voxels)).astype(np.int32)


# %% Exercise 2: voxel 0 opens no run
# says: voxel 0 is one like any other
def runs_of(voxels):
    starts = np.flatnonzero(np.diff(voxels, prepend=0))
    return starts.astype(np.int32), np.diff(starts, append=len(voxels)).astype(np.int32)


# %% Exercise 2: neighboring voxels are one run
# says: and 1 is another
def runs_of(voxels):
    starts = np.flatnonzero(np.diff(voxels, prepend=-2) > 1)
    return starts.astype(np.int32), np.diff(starts, append=len(voxels)).astype(np.int32)


# %% Exercise 2: no points give floating-point numbers
# says: also if there are no points
def runs_of(voxels):
    if not len(voxels):
        return np.array([]), np.array([])
    return tuple(each.astype(np.int32) for each in np.unique(voxels, return_index=True, return_counts=True)[1:])


# %% Exercise 2: no points give two dimensions
# says: two arrays of shape \(0,\)
def runs_of(voxels):
    if not len(voxels):
        return np.zeros((1, 0), np.int32), np.zeros((1, 0), np.int32)
    return tuple(each.astype(np.int32) for each in np.unique(voxels, return_index=True, return_counts=True)[1:])


# %% Exercise 2: tensors of PyTorch
# says: arrays of NumPy
def runs_of(voxels):
    lengths = torch.unique_consecutive(torch.from_numpy(voxels), return_counts=True)[1]
    return (lengths.cumsum(0) - lengths).int(), lengths.int()


# %% Exercise 2: lists
# says: arrays of NumPy
def runs_of(voxels):
    starts = np.flatnonzero(np.diff(voxels, prepend=-1))
    return starts.tolist(), np.diff(starts, append=len(voxels)).tolist()


# %% Exercise 2: by np.unique, as a list of two
# accepted
def runs_of(voxels):
    return [each.astype(np.int32) for each in np.unique(voxels, return_index=True, return_counts=True)[1:]]


# %% Exercise 3: always a start, as the published script
# says: always True
def next_states(outputs, old, new, shape, frames):
    volumes, times = np.zeros(shape, np.float32), np.zeros((1, frames), np.int32)
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": np.array([True])}


# %% Exercise 3: hands the times on unchanged
# says: one frame older now
def next_states(outputs, old, new, shape, frames):
    start = outputs is None or old != new
    volumes, times = np.zeros(shape, np.float32), np.zeros((1, frames), np.int32)
    if not start:
        volumes, times = outputs["output_history_bev"].copy(), outputs["output_history_sweep_time"].copy()
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": np.array([start])}


# %% Exercise 3: begins anew at the first frame alone
# says: another sequence id begins a sequence
def next_states(outputs, old, new, shape, frames):
    start = outputs is None
    volumes, times = np.zeros(shape, np.float32), np.zeros((1, frames), np.int32)
    if not start:
        volumes, times = outputs["output_history_bev"].copy(), outputs["output_history_sweep_time"] + 1
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": np.array([start])}


# %% Exercise 3: no copy of the volumes
# says: return a copy
def next_states(outputs, old, new, shape, frames):
    start = outputs is None or old != new
    volumes, times = np.zeros(shape, np.float32), np.zeros((1, frames), np.int32)
    if not start:
        volumes, times = outputs["output_history_bev"], outputs["output_history_sweep_time"] + 1
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": np.array([start])}


# %% Exercise 3: counts in the engine's own buffer
# says: changed the graph's own output
def next_states(outputs, old, new, shape, frames):
    start = outputs is None or old != new
    volumes, times = np.zeros(shape, np.float32), np.zeros((1, frames), np.int32)
    if not start:
        volumes, times = outputs["output_history_bev"].copy(), outputs["output_history_sweep_time"]
        times += 1
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": np.array([start])}


# %% Exercise 3: the flag is set, but the old states stay
# says: a new sequence has the times 0
def next_states(outputs, old, new, shape, frames):
    if outputs is None:
        volumes, times = np.zeros(shape, np.float32), np.zeros((1, frames), np.int32)
    else:
        volumes, times = outputs["output_history_bev"].copy(), outputs["output_history_sweep_time"] + 1
    start = outputs is None or old != new
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": np.array([start])}


# %% Exercise 3: a zero is taken for no sequence
# says: always True
def next_states(outputs, old, new, shape, frames):
    start = not (outputs and old) or old != new
    volumes, times = np.zeros(shape, np.float32), np.zeros((1, frames), np.int32)
    if not start:
        volumes, times = outputs["output_history_bev"].copy(), outputs["output_history_sweep_time"] + 1
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": np.array([start])}


# %% Exercise 3: times of NumPy's own type
# says: history_sweep_time is int32
def next_states(outputs, old, new, shape, frames):
    start = outputs is None or old != new
    volumes, times = np.zeros(shape, np.float32), np.zeros((1, frames))
    if not start:
        volumes, times = outputs["output_history_bev"].copy(), outputs["output_history_sweep_time"] + 1
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": np.array([start])}


# %% Exercise 3: the ids alone decide
# says: 'NoneType' object
def next_states(outputs, old, new, shape, frames):
    start = old != new
    if start:
        volumes, times = np.zeros(shape, np.float32), np.zeros((1, frames), np.int32)
    else:
        volumes, times = outputs["output_history_bev"].copy(), outputs["output_history_sweep_time"] + 1
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": np.array([start])}


# %% Exercise 3: a larger id alone begins a sequence
# says: a smaller id begins a sequence
def next_states(outputs, old, new, shape, frames):
    start = outputs is None or new > old
    if start:
        volumes, times = np.zeros(shape, np.float32), np.zeros((1, frames), np.int32)
    else:
        volumes, times = outputs["output_history_bev"].copy(), outputs["output_history_sweep_time"] + 1
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": np.array([start])}


# %% Exercise 3: times that are made up
# says: 0, 2, 2 become 1, 3, 3
def next_states(outputs, old, new, shape, frames):
    start = outputs is None or old != new
    if start:
        volumes, times = np.zeros(shape, np.float32), np.zeros((1, frames), np.int32)
    else:
        volumes, times = outputs["output_history_bev"].copy(), np.arange(1, frames + 1, dtype=np.int32)[None]
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": np.array([start])}


# %% Exercise 3: multiplies the old memory by zero, which keeps its NaN
# says: also where the old one had a NaN
def next_states(outputs, old, new, shape, frames):
    if outputs is None:
        outputs = {
            "output_history_bev": np.zeros(shape, np.float32),
            "output_history_sweep_time": -np.ones((1, frames)),
        }
        old = new
    volumes = outputs["output_history_bev"] * np.float32(old == new)
    times = ((outputs["output_history_sweep_time"] + 1) * (old == new)).astype(np.int32)
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": np.array([not times.any()])}


# %% Exercise 3: asks whether the ids are the same object
# says: equal ids go on
def next_states(outputs, old, new, shape, frames):
    start = outputs is None or old is not new
    if start:
        volumes, times = np.zeros(shape, np.float32), np.zeros((1, frames), np.int32)
    else:
        volumes, times = outputs["output_history_bev"].copy(), outputs["output_history_sweep_time"] + 1
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": np.array([start])}


# %% Exercise 3: empties the graph's own memory at a start
# says: changed the graph's own output
def next_states(outputs, old, new, shape, frames):
    start = outputs is None or old != new
    volumes, times = np.zeros(shape, np.float32), np.zeros((1, frames), np.int32)
    if start and outputs:
        outputs["output_history_bev"][:] = 0
    elif outputs:
        volumes, times = outputs["output_history_bev"].copy(), outputs["output_history_sweep_time"] + 1
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": np.array([start])}


# %% Exercise 3: takes the outputs out of their dict
# says: changed the graph's own output
def next_states(outputs, old, new, shape, frames):
    start = outputs is None or old != new
    volumes, times = np.zeros(shape, np.float32), np.zeros((1, frames), np.int32)
    if not start:
        volumes, times = outputs.pop("output_history_bev").copy(), outputs.pop("output_history_sweep_time") + 1
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": np.array([start])}


# %% Exercise 3: the flag in a list
# says: start_of_sequence is bool \(1,\) in the graph; yours list
def next_states(outputs, old, new, shape, frames):
    start = outputs is None or old != new
    volumes, times = np.zeros(shape, np.float32), np.zeros((1, frames), np.int32)
    if not start:
        volumes, times = outputs["output_history_bev"].copy(), outputs["output_history_sweep_time"] + 1
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": [start]}


# %% Exercise 3: ages that end at the number of frames
# accepted
def next_states(outputs, old, new, shape, frames):
    start = outputs is None or old != new
    volumes, times = np.zeros(shape, np.float32), np.zeros((1, frames), np.int32)
    if not start:
        volumes = np.array(outputs["output_history_bev"])
        times = np.minimum(outputs["output_history_sweep_time"] + 1, frames)
    return {"history_bev": volumes, "history_sweep_time": times, "start_of_sequence": np.array([start])}


# %% Project: without the augmentation
# says: bda is left out
def pool_ranks(cameras, config):
    return geometry.pooling(dataclasses.replace(cameras, bda=np.eye(3)), config)


# %% Project: without the crop
# says: post_translations are left out
def pool_ranks(cameras, config):
    return geometry.pooling(dataclasses.replace(cameras, post_translations=np.zeros((6, 3))), config)


# %% Project: the middle of a bin
# says: lower edge, and not its middle
def pool_ranks(cameras, config):
    low, high, step = config.depth_range
    return geometry.pooling(cameras, dataclasses.replace(config, depth_range=(low + step / 2, high + step / 2, step)))


# %% Project: indices that are floored
# says: do not floor
def pool_ranks(cameras, config):
    rows, columns = config.feature_size
    u = np.linspace(0, config.image_size[1] - 1, columns)
    v = np.linspace(0, config.image_size[0] - 1, rows)
    pixels = np.stack([*np.meshgrid(u, v), np.ones((rows, columns))], -1) - cameras.post_translations[:, None, None]
    turn = cameras.rotations @ np.linalg.inv(cameras.intrinsics) @ np.linalg.inv(cameras.post_rotations)
    rays = (turn[:, None, None] @ pixels[..., None])[..., 0]
    depths = np.arange(*config.depth_range)[:, None, None, None]
    points = (rays[:, None] * depths + cameras.translations[:, None, None, None]) @ cameras.bda.T
    cells = np.array(config.volume[::-1])
    cell = np.floor((points.reshape(-1, 3) - config.pc_range[:3]) / config.voxel_size).astype(np.int64)
    of_depth = np.flatnonzero(((cell >= 0) & (cell < cells)).all(1))
    x, y, z = cell[of_depth].T
    voxels = (z * cells[1] + y) * cells[0] + x
    order = np.argsort(voxels, kind="stable")
    of_depth, voxels = of_depth[order], voxels[order]
    of_feat = of_depth // (len(depths) * rows * columns) * rows * columns + of_depth % (rows * columns)
    starts, lengths = np.unique(voxels, return_index=True, return_counts=True)[1:]
    arrays = (of_depth, of_feat, voxels, starts, lengths)
    return {name: each.astype(np.int32) for name, each in zip(RANKS, arrays, strict=True)}


# %% Project: the cell with its bin
# says: ranks_feat is flat over
def pool_ranks(cameras, config):
    found = geometry.pooling(cameras, config)
    return found | {"ranks_feat": found["ranks_depth"]}


# %% Project: points in the order of depth
# says: sort the points by voxel
def pool_ranks(cameras, config):
    found = geometry.pooling(cameras, config)
    order = np.argsort(found["ranks_depth"])
    return found | {name: found[name][order] for name in RANKS[:3]}


# %% Project: a sort that turns the order within a voxel
# says: take a stable sort
def pool_ranks(cameras, config):
    found = geometry.pooling(cameras, config)
    order = np.lexsort((-found["ranks_depth"], found["ranks_bev"]))
    return found | {name: found[name][order] for name in RANKS[:3]}


# %% Project: the volume counted along x, y, z
# says: their order, \(z, y, x\)
def pool_ranks(cameras, config):
    found = geometry.pooling(cameras, config)
    z, y, x = np.unravel_index(found["ranks_bev"], config.volume)
    voxels = (x * config.volume[1] + y) * config.volume[0] + z
    order = np.argsort(voxels, kind="stable")
    found |= {name: found[name][order] for name in RANKS[:2]} | {"ranks_bev": voxels[order].astype(np.int32)}
    starts, lengths = np.unique(found["ranks_bev"], return_index=True, return_counts=True)[1:]
    return found | {"interval_starts": starts.astype(np.int32), "interval_lengths": lengths.astype(np.int32)}


# %% Project: integers of 64 bits
# says: the graph takes int32
def pool_ranks(cameras, config):
    return {name: each.astype(np.int64) for name, each in geometry.pooling(cameras, config).items()}


# %% Project: cameras that see nothing
# says: stopped with ValueError
def pool_ranks(cameras, config):
    found = geometry.pooling(cameras, config)
    found["interval_starts"] -= found["interval_starts"].min()
    return found


# %% Project: bda transposed
# says: bda is transposed
def pool_ranks(cameras, config):
    return geometry.pooling(dataclasses.replace(cameras, bda=cameras.bda.T), config)


# %% Project: bda inverted
# says: their order
def pool_ranks(cameras, config):
    return geometry.pooling(dataclasses.replace(cameras, bda=np.linalg.inv(cameras.bda)), config)


# %% Project: the mini's sizes
# says: names a point that config does not have
def pool_ranks(cameras, config):
    return geometry.pooling(cameras, models.config("fbocc", "mini"))


# %% Project: x and y take each other's size
# says: their order
def pool_ranks(cameras, config):
    found = geometry.pooling(cameras, config)
    z, y, x = np.unravel_index(found["ranks_bev"], config.volume)
    voxels = (z * config.volume[2] + y) * config.volume[1] + x
    order = np.argsort(voxels, kind="stable")
    found |= {name: found[name][order] for name in RANKS[:2]} | {"ranks_bev": voxels[order].astype(np.int32)}
    starts, lengths = np.unique(found["ranks_bev"], return_index=True, return_counts=True)[1:]
    return found | {"interval_starts": starts.astype(np.int32), "interval_lengths": lengths.astype(np.int32)}


# %% Project: the intrinsics are not inverted
# says: 100.0% of the points
def pool_ranks(cameras, config):
    return geometry.pooling(dataclasses.replace(cameras, intrinsics=np.linalg.inv(cameras.intrinsics)), config)


# %% Project: points outside stay as -1
# says: a point outside has no entry
def pool_ranks(cameras, config):
    found = geometry.pooling(cameras, config)
    outside = np.setdiff1d(np.arange(len(feat_of)), found["ranks_depth"])
    ranks = outside, feat_of[outside], np.full(len(outside), -1)
    found |= {name: np.concatenate([first, found[name]]) for name, first in zip(RANKS, ranks, strict=False)}
    starts, lengths = np.unique(found["ranks_bev"], return_index=True, return_counts=True)[1:]
    found |= {"interval_starts": starts, "interval_lengths": lengths}
    return {name: each.astype(np.int32) for name, each in found.items()}


# %% Project: floors x and y alone
# says: do not floor
def pool_ranks(cameras, config):
    (rows, columns), (height, width) = config.feature_size, config.image_size
    u, v = np.meshgrid(np.linspace(0, width - 1, columns), np.linspace(0, height - 1, rows))
    pixels = np.stack([u, v, np.ones_like(u)], -1) - cameras.post_translations[:, None, None]
    source = np.linalg.inv(cameras.post_rotations)[:, None, None] @ pixels[..., None]
    turn = cameras.rotations @ np.linalg.inv(cameras.intrinsics)
    steps = (turn[:, None, None] @ source)[..., 0]
    depths = np.arange(*config.depth_range)[:, None, None, None]
    points = (steps[:, None] * depths + cameras.translations[:, None, None, None]) @ cameras.bda.T
    cells = np.array(config.volume[::-1])
    position = (points.reshape(-1, 3) - config.pc_range[:3]) / config.voxel_size
    ranks_depth = np.flatnonzero(((position > [0, 0, -1]) & (position < cells)).all(1))
    x, y, z = np.trunc(position[ranks_depth]).astype(np.int64).T
    voxels = (z * cells[1] + y) * cells[0] + x
    order = np.argsort(voxels, kind="stable")
    ranks_depth, voxels = ranks_depth[order], voxels[order]
    ranks_feat = ranks_depth // (len(depths) * rows * columns) * rows * columns + ranks_depth % (rows * columns)
    _, starts, lengths = np.unique(voxels, return_index=True, return_counts=True)
    found = dict(zip(RANKS, (ranks_depth, ranks_feat, voxels, starts, lengths), strict=True))
    return {name: array.astype(np.int32) for name, array in found.items()}


# %% Project: nothing seen, and no integers
# says: five empty int32 arrays
def pool_ranks(cameras, config):
    found = geometry.pooling(cameras, config)
    return found if len(found["ranks_bev"]) else dict.fromkeys(RANKS, np.array([]))


# %% Project: inverts the intrinsics where they lie
# says: you change their matrices
def voxel_of(points, low, size, cells):
    position = (points - low) / size
    inside = ((position > -1) & (position < cells)).all(1)
    x, y, z = np.trunc(position).astype(np.int64).T
    return np.where(inside, (z * cells[1] + y) * cells[0] + x, -1)


def pool_ranks(cameras, config):
    (rows, columns), (height, width) = config.feature_size, config.image_size
    u, v = np.meshgrid(np.linspace(0, width - 1, columns), np.linspace(0, height - 1, rows))
    pixels = np.stack([u, v, np.ones_like(u)], -1) - cameras.post_translations[:, None, None]
    cameras.intrinsics[:] = np.linalg.inv(cameras.intrinsics)
    source = np.linalg.inv(cameras.post_rotations)[:, None, None] @ pixels[..., None]
    turn = cameras.rotations @ cameras.intrinsics
    steps = (turn[:, None, None] @ source)[..., 0]
    depths = np.arange(*config.depth_range)[:, None, None, None]
    points = (steps[:, None] * depths + cameras.translations[:, None, None, None]) @ cameras.bda.T
    voxels = voxel_of(points.reshape(-1, 3), np.array(config.pc_range[:3]), config.voxel_size, config.volume[::-1])
    ranks_depth = np.flatnonzero(voxels >= 0)
    ranks_depth = ranks_depth[np.argsort(voxels[ranks_depth], kind="stable")]
    cells = rows * columns
    ranks_feat = ranks_depth // (len(depths) * cells) * cells + ranks_depth % cells
    starts, lengths = np.unique(voxels[ranks_depth], return_index=True, return_counts=True)[1:]
    found = dict(zip(RANKS, (ranks_depth, ranks_feat, voxels[ranks_depth], starts, lengths), strict=True))
    return {name: each.astype(np.int32) for name, each in found.items()}


# %% Project: in single precision, sorted by two keys
# accepted
def voxel_of(points, low, size, cells):
    position = (points - low) / size
    inside = ((position > -1) & (position < cells)).all(1)
    x, y, z = np.trunc(position).astype(np.int64).T
    return np.where(inside, (z * cells[1] + y) * cells[0] + x, -1)


def pool_ranks(cameras, config):
    (rows, columns), (height, width) = config.feature_size, config.image_size
    u, v = np.meshgrid(np.linspace(0, width - 1, columns), np.linspace(0, height - 1, rows))
    pixels = np.stack([u, v, np.ones_like(u)], -1).astype(np.float32) - cameras.post_translations[:, None, None]
    source = np.linalg.inv(cameras.post_rotations)[:, None, None] @ pixels[..., None]
    turn = cameras.rotations @ np.linalg.inv(cameras.intrinsics)
    steps = (turn[:, None, None] @ source)[..., 0]
    depths = np.arange(*config.depth_range)[:, None, None, None]
    points = (steps[:, None] * depths + cameras.translations[:, None, None, None]) @ cameras.bda.T
    voxels = voxel_of(points.reshape(-1, 3), np.array(config.pc_range[:3]), config.voxel_size, config.volume[::-1])
    ranks_depth = np.flatnonzero(voxels >= 0)
    ranks_depth = ranks_depth[np.lexsort((ranks_depth, voxels[ranks_depth]))]
    cells = rows * columns
    ranks_feat = ranks_depth // (len(depths) * cells) * cells + ranks_depth % cells
    starts, lengths = np.unique(voxels[ranks_depth], return_index=True, return_counts=True)[1:]
    found = dict(zip(RANKS, (ranks_depth, ranks_feat, voxels[ranks_depth], starts, lengths), strict=True))
    return {name: each.astype(np.int32) for name, each in found.items()}


# %% Project: lists
# says: the graph takes int32; yours are list
def pool_ranks(cameras, config):
    return {name: each.tolist() for name, each in geometry.pooling(cameras, config).items()}


# %% Project: ends in the place of lengths
# says: or their lengths differ
def pool_ranks(cameras, config):
    found = geometry.pooling(cameras, config)
    return found | {"interval_lengths": found["interval_starts"] + found["interval_lengths"]}
