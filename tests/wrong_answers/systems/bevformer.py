"""Typical wrong answers to the exercises of notebooks/systems/bevformer.ipynb (form: ci/lessons/wrong.py)."""


# %% Exercise 1: one bool for all points
# says: must return a numpy.ndarray
def sees(points, lidar2img, size):
    image = np.column_stack([points, np.ones(len(points))]) @ lidar2img.T
    u, v = image[:, :2].T / np.maximum(image[:, 2], 1e-5)
    return bool(((image[:, 2] > 1e-5) & (u > 0) & (u < size[1]) & (v > 0) & (v < size[0])).any())


# %% Exercise 1: forgets the sign of the depth
# says: test the depth
def sees(points, lidar2img, size):
    image = np.column_stack([points, np.ones(len(points))]) @ lidar2img.T
    u, v = image[:, :2].T / image[:, 2]
    return (u > 0) & (u < size[1]) & (v > 0) & (v < size[0])


# %% Exercise 1: does not divide by the depth
# says: divide u and v by the depth
def sees(points, lidar2img, size):
    image = np.column_stack([points, np.ones(len(points))]) @ lidar2img.T
    u, v = image[:, :2].T
    return (image[:, 2] > 1e-5) & (u > 0) & (u < size[1]) & (v > 0) & (v < size[0])


# %% Exercise 1: takes the size for (width, height)
# says: compare u with the width
def sees(points, lidar2img, size):
    image = np.column_stack([points, np.ones(len(points))]) @ lidar2img.T
    u, v = image[:, :2].T / np.maximum(image[:, 2], 1e-5)
    return (image[:, 2] > 1e-5) & (u > 0) & (u < size[0]) & (v > 0) & (v < size[1])


# %% Exercise 1: leaves out the height
# says: compare v with the height
def sees(points, lidar2img, size):
    image = np.column_stack([points, np.ones(len(points))]) @ lidar2img.T
    u, v = image[:, :2].T / np.maximum(image[:, 2], 1e-5)
    return (image[:, 2] > 1e-5) & (u > 0) & (u < size[1])


# %% Exercise 1: multiplies points without their one
# says: stopped with ValueError
def sees(points, lidar2img, size):
    image = points @ lidar2img.T
    u, v = image[:, :2].T / np.maximum(image[:, 2], 1e-5)
    return (image[:, 2] > 1e-5) & (u > 0) & (u < size[1]) & (v > 0) & (v < size[0])


# %% Exercise 1: the lesson's size and not the argument
# says: a picture 10 high and 20 wide
def sees(points, lidar2img, size):
    image = np.column_stack([points, np.ones(len(points))]) @ lidar2img.T
    depth = image[:, 2]
    u, v = image[:, :2].T / np.maximum(depth, 1e-5)
    h, w = config.image_size
    return (depth > 1e-5) & (u > 0) & (u < w) & (v > 0) & (v < h)


# %% Exercise 1: a matrix that is not transposed
# says: lidar2img\.T
def sees(points, lidar2img, size):
    image = np.column_stack([points, np.ones(len(points))]) @ lidar2img
    depth = image[:, 2]
    u, v = image[:, :2].T / np.maximum(depth, 1e-5)
    return (depth > 1e-5) & (u > 0) & (u < size[1]) & (v > 0) & (v < size[0])


# %% Exercise 1: forgets the left limit
# says: compare u with 0
def sees(points, lidar2img, size):
    image = np.column_stack([points, np.ones(len(points))]) @ lidar2img.T
    depth = image[:, 2]
    u, v = image[:, :2].T / np.maximum(depth, 1e-5)
    return (depth > 1e-5) & (u < size[1]) & (v > 0) & (v < size[0])


# %% Exercise 1: forgets the lower edge of the picture
# says: compare v with the height
def sees(points, lidar2img, size):
    image = np.column_stack([points, np.ones(len(points))]) @ lidar2img.T
    depth = image[:, 2]
    u, v = image[:, :2].T / np.maximum(depth, 1e-5)
    return (depth > 1e-5) & (u > 0) & (u < size[1]) & (v > 0)


# %% Exercise 1: zeros for ones
# says: append a 1
def sees(points, lidar2img, size):
    image = np.column_stack([points, np.zeros(len(points))]) @ lidar2img.T
    depth = image[:, 2]
    u, v = image[:, :2].T / np.maximum(depth, 1e-5)
    return (depth > 1e-5) & (u > 0) & (u < size[1]) & (v > 0) & (v < size[0])


# %% Exercise 2: leaves the height z absolute
# says: the height z, is a difference too
def can_bus_delta(absolute, before):
    result = absolute.copy()
    result[:2] = 0 if before is None else absolute[:2] - before[:2]
    result[17] = 0 if before is None else absolute[17] - before[17]
    if before is None:
        result[2] = 0
    return result


# %% Exercise 2: changes the frame's own vector
# says: work on a copy
def can_bus_delta(absolute, before):
    absolute[:3] = 0 if before is None else absolute[:3] - before[:3]
    absolute[17] = 0 if before is None else absolute[17] - before[17]
    return absolute


# %% Exercise 2: makes the heading a difference too
# says: \[16\] stays absolute
def can_bus_delta(absolute, before):
    result = absolute.copy()
    for part in (slice(0, 3), slice(16, 18)):
        result[part] = 0 if before is None else absolute[part] - before[part]
    return result


# %% Exercise 2: subtracts in the wrong order
# says: new minus old
def can_bus_delta(absolute, before):
    result = absolute.copy()
    result[:3] = 0 if before is None else before[:3] - absolute[:3]
    result[2] *= -1
    result[17] = 0 if before is None else before[17] - absolute[17]
    return result


# %% Exercise 2: returns zeros without history
# says: all the other entries stay
def can_bus_delta(absolute, before):
    if before is None:
        return np.zeros(18)
    result = absolute.copy()
    result[:3] -= before[:3]
    result[17] -= before[17]
    return result


# %% Exercise 2: forgets that there may be no frame before
# says: TypeError
def can_bus_delta(absolute, before):
    result = absolute.copy()
    result[:3] = absolute[:3] - before[:3]
    result[17] = absolute[17] - before[17]
    return result


# %% Exercise 2: zeroes the frame before in place
# says: vector of the frame before
def can_bus_delta(absolute, before):
    if before is None:
        before = absolute.copy()
    before[3:17] = 0
    return absolute - before


# %% Exercise 2: the yaw in one turn
# says: not brought into one turn
def can_bus_delta(absolute, before):
    result = absolute.copy()
    if before is None:
        result[[0, 1, 2, 17]] = 0
    else:
        result[:3] -= before[:3]
        result[17] = (absolute[17] - before[17] + 180) % 360 - 180
    return result


# %% Exercise 3: the arc in place of the chord
# says: length of the arc
def middle_moves(degrees, center):
    return float(np.hypot(center[0] - 25, center[1] - 25) * np.radians(abs(degrees)))


# %% Exercise 3: r sin of the whole angle
# says: r sin
def middle_moves(degrees, center):
    return float(np.hypot(center[0] - 25, center[1] - 25) * np.sin(np.radians(abs(degrees))))


# %% Exercise 3: degrees in place of radians
# says: np.sin takes radians
def middle_moves(degrees, center):
    return float(2 * np.hypot(center[0] - 25, center[1] - 25) * abs(np.sin(degrees / 2)))


# %% Exercise 3: measures the radius from the corner of the map
# says: about its own middle
def middle_moves(degrees, center):
    return float(2 * np.hypot(*center) * np.sin(np.radians(abs(degrees)) / 2))


# %% Exercise 3: takes the distance in x alone
# says: use both
def middle_moves(degrees, center):
    return float(2 * abs(center[0] - 25) * np.sin(np.radians(abs(degrees)) / 2))


# %% Exercise 3: is negative for a turn to the other side
# says: a distance is positive
def middle_moves(degrees, center):
    return float(2 * np.hypot(center[0] - 25, center[1] - 25) * np.sin(np.radians(degrees) / 2))


# %% Exercise 3: the center lies on a diagonal
# says: expected about 83
def middle_moves(degrees, center):
    return 2 * np.sqrt(2) * abs(center[0] - 25) * np.sin(np.radians(abs(degrees)) / 2)


# %% Exercise 3: hard-coded center
# says: expected about 83
def middle_moves(degrees, center):
    radius = 0 if tuple(center) == (25, 25) else np.hypot(75, 75)
    return 2 * radius * np.sin(np.radians(abs(degrees)) / 2)


# %% Exercise 4: leaves the logarithms
# says: take np.exp
def decode_one(code):
    yaw = -np.arctan2(code[6], code[7]) - np.pi / 2
    return code[[2, 3, 5]], np.pi - (np.pi - yaw) % (2 * np.pi), np.hypot(code[8], code[9])


# %% Exercise 4: takes the height of the center for a size
# says: exp of entries 2, 3, 5
def decode_one(code):
    yaw = -np.arctan2(code[6], code[7]) - np.pi / 2
    return np.exp(code[2:5]), np.pi - (np.pi - yaw) % (2 * np.pi), np.hypot(code[8], code[9])


# %% Exercise 4: keeps the code's own yaw
# says: code's own yaw
def decode_one(code):
    return np.exp(code[[2, 3, 5]]), np.arctan2(code[6], code[7]), np.hypot(code[8], code[9])


# %% Exercise 4: exchanges sine and cosine
# says: check -arctan2
def decode_one(code):
    yaw = -np.arctan2(code[7], code[6]) - np.pi / 2
    return np.exp(code[[2, 3, 5]]), np.pi - (np.pi - yaw) % (2 * np.pi), np.hypot(code[8], code[9])


# %% Exercise 4: does not bring the yaw into one turn
# says: \(-π, π\]
def decode_one(code):
    return np.exp(code[[2, 3, 5]]), -np.arctan2(code[6], code[7]) - np.pi / 2, np.hypot(code[8], code[9])


# %% Exercise 4: adds the velocities
# says: length of \(vx, vy\)
def decode_one(code):
    yaw = -np.arctan2(code[6], code[7]) - np.pi / 2
    return np.exp(code[[2, 3, 5]]), np.pi - (np.pi - yaw) % (2 * np.pi), code[8] + code[9]


# %% Project: never begins anew
# says: went on into the new scene
def drive_loop(run, frames, inputs, initial, states):
    results, before, current = [], None, dict(initial)
    for frame in frames:
        outputs = {name: array.copy() for name, array in run({**inputs(frame, before), **current}).items()}
        current = {name: outputs[source] for name, source in states.items()}
        results.append(outputs)
        before = frame
    return results


# %% Project: resets the history without prev_bev
# says: went on into the new scene
def drive_loop(run, frames, inputs, initial, states):
    results, before, current = [], None, dict(initial)
    for frame in frames:
        if before is not None and frame.scene != before.scene:
            before = None
        outputs = {name: array.copy() for name, array in run({**inputs(frame, before), **current}).items()}
        current = {name: outputs[source] for name, source in states.items()}
        results.append(outputs)
        before = frame
    return results


# %% Project: resets the state, and keeps the frame of the other scene
# says: no history
def drive_loop(run, frames, inputs, initial, states):
    results, before, current = [], None, dict(initial)
    for frame in frames:
        if before is not None and frame.scene != before.scene:
            current = dict(initial)
        outputs = {name: array.copy() for name, array in run({**inputs(frame, before), **current}).items()}
        current = {name: outputs[source] for name, source in states.items()}
        results.append(outputs)
        before = frame
    return results


# %% Project: keeps no copies
# says: keep copies
def drive_loop(run, frames, inputs, initial, states):
    results, before, current = [], None, dict(initial)
    for frame in frames:
        if before is None or frame.scene != before.scene:
            before, current = None, dict(initial)
        outputs = run({**inputs(frame, before), **current})
        current = {name: outputs[source] for name, source in states.items()}
        results.append(outputs)
        before = frame
    return results


# %% Project: never carries the state
# says: never carried
def drive_loop(run, frames, inputs, initial, states):
    results, before = [], None
    for frame in frames:
        before = None if before is None or frame.scene != before.scene else before
        results.append({name: array.copy() for name, array in run({**inputs(frame, before), **initial}).items()})
        before = frame
    return results


# %% Project: returns the last frame alone
# says: must return a list
def drive_loop(run, frames, inputs, initial, states):
    before, current = None, dict(initial)
    for frame in frames:
        outputs = {name: array.copy() for name, array in run({**inputs(frame, before), **current}).items()}
        current = {name: outputs[source] for name, source in states.items()}
        before = frame
    return outputs


# %% Project: the state shares the buffer
# says: keep copies
def drive_loop(run, frames, inputs, initial, states):
    results, before, current = [], None, dict(initial)
    for frame in frames:
        if before is None or frame.scene != before.scene:
            before, current = None, dict(initial)
        outputs = run({**inputs(frame, before), **current})
        results.append({name: array.copy() for name, array in outputs.items()})
        current = {name: outputs[source] for name, source in states.items()}
        before = frame
    return results


# %% Project: the first frame is its own predecessor
# says: `before` is None
def drive_loop(run, frames, inputs, initial, states):
    results, before, current = [], frames[0], dict(initial)
    for frame in frames:
        if frame.scene != before.scene:
            before, current = None, dict(initial)
        outputs = {name: array.copy() for name, array in run({**inputs(frame, before), **current}).items()}
        current = {name: outputs[source] for name, source in states.items()}
        results.append(outputs)
        before = frame
    return results


# %% Project: the states by their places
# says: `states` names the output
def drive_loop(run, frames, inputs, initial, states):
    results, before, current = [], None, dict(initial)
    for frame in frames:
        if before is None or frame.scene != before.scene:
            before, current = None, dict(initial)
        outputs = {name: array.copy() for name, array in run({**inputs(frame, before), **current}).items()}
        current = dict(zip(states, outputs.values()))
        results.append(outputs)
        before = frame
    return results


# %% Project: the states alone
# says: not the states alone
def drive_loop(run, frames, inputs, initial, states):
    results, before, current = [], None, dict(initial)
    for frame in frames:
        if before is None or frame.scene != before.scene:
            before, current = None, dict(initial)
        outputs = run({**inputs(frame, before), **current})
        outputs = {source: outputs[source].copy() for source in states.values()}
        current = {name: outputs[source] for name, source in states.items()}
        results.append(outputs)
        before = frame
    return results
