"""Typical wrong answers to the exercises of notebooks/00_start_here.ipynb (form: ci/lessons/wrong.py)."""


# %% Exercise 1: forgets that a point behind the camera projects too
# says: CAM_BACK .* depth positive
def cameras_that_see(point, lidar2img, width=1600, height=900):
    seen = []
    for name, matrix in zip(CAMERAS, lidar2img):
        x, y, depth = matrix[:3] @ np.append(point, 1.0)
        if 0 <= x / depth < width and 0 <= y / depth < height:
            seen.append(name)
    return seen


# %% Exercise 1: does not divide by the depth
# says: divide x and y by the depth
def cameras_that_see(point, lidar2img, width=1600, height=900):
    seen = []
    for name, matrix in zip(CAMERAS, lidar2img):
        x, y, depth = matrix[:3] @ np.append(point, 1.0)
        if depth > 0 and 0 <= x < width and 0 <= y < height:
            seen.append(name)
    return seen


# %% Exercise 1: returns numbers in place of names
# says: return the names
def cameras_that_see(point, lidar2img, width=1600, height=900):
    seen = []
    for number, matrix in enumerate(lidar2img):
        x, y, depth = matrix[:3] @ np.append(point, 1.0)
        if depth > 0 and 0 <= x / depth < width and 0 <= y / depth < height:
            seen.append(number)
    return seen


# %% Exercise 1: stops at the first camera
# says: stop too early
def cameras_that_see(point, lidar2img, width=1600, height=900):
    for name, matrix in zip(CAMERAS, lidar2img):
        x, y, depth = matrix[:3] @ np.append(point, 1.0)
        if depth > 0 and 0 <= x / depth < width and 0 <= y / depth < height:
            return [name]
    return []


# %% Exercise 1: forgets the height of the picture
# says: against the height
def cameras_that_see(point, lidar2img, width=1600, height=900):
    seen = []
    for name, matrix in zip(CAMERAS, lidar2img):
        x, y, depth = matrix[:3] @ np.append(point, 1.0)
        if depth > 0 and 0 <= x / depth < width:
            seen.append(name)
    return seen


# %% Exercise 1: returns one bool for all cameras
# says: must return a list
def cameras_that_see(point, lidar2img, width=1600, height=900):
    x, y, depth = (lidar2img @ np.append(point, 1.0))[:, :3].T
    return bool(((depth > 0) & (x / depth < width) & (y / depth < height)).any())


# %% Exercise 1: multiplies by the point without its 1
# says: stopped with ValueError
def cameras_that_see(point, lidar2img, width=1600, height=900):
    seen = []
    for name, matrix in zip(CAMERAS, lidar2img):
        x, y, depth, _ = matrix @ point
        if depth > 0 and 0 <= x / depth < width and 0 <= y / depth < height:
            seen.append(name)
    return seen


# %% Exercise 1: compares u with the height
# says: check u against 0 and the width
def cameras_that_see(point, lidar2img, width=1600, height=900):
    seen = []
    for name, matrix in zip(CAMERAS, lidar2img):
        x, y, depth = matrix[:3] @ np.append(point, 1.0)
        if depth > 0 and 0 <= x / depth < height and 0 <= y / depth < width:
            seen.append(name)
    return seen


# %% Exercise 2: divides by the largest of ours
# says: largest of ours.*use the reference
def relative_error(ours, reference):
    return float(np.abs(ours - reference).max() / np.abs(ours).max())


# %% Exercise 2: takes the maximum before the absolute value
# says: take the absolute value before the maximum
def relative_error(ours, reference):
    return float(abs((ours - reference).max()) / np.abs(reference).max())


# %% Exercise 2: divides each error by its own value
# says: value beside the error
def relative_error(ours, reference):
    return float(np.max(np.abs(ours - reference) / np.abs(reference)))


# %% Exercise 2: forgets that the largest value may be negative
# says: -4 counts too
def relative_error(ours, reference):
    return float(np.abs(ours - reference).max() / reference.max())


# %% Exercise 2: does not divide
# says: difference alone
def relative_error(ours, reference):
    return float(np.abs(ours - reference).max())


# %% Exercise 2: takes the mean of the differences
# says: yours is a mean
def relative_error(ours, reference):
    return float(np.abs(ours - reference).mean() / np.abs(reference).max())


# %% Exercise 2: returns an array
# says: must return a float
def relative_error(ours, reference):
    return np.abs(ours - reference) / np.abs(reference).max()


# %% Exercise 3: divides the means
# says: hiccup.*median
def speed_up(baseline, other):
    return float(np.mean(baseline) / np.mean(other))


# %% Exercise 3: is upside down
# says: upside down
def speed_up(baseline, other):
    return float(np.median(other) / np.median(baseline))


# %% Exercise 3: subtracts
# says: divide instead of subtracting
def speed_up(baseline, other):
    return float(np.median(baseline) - np.median(other))


# %% Exercise 3: compares the slowest calls
# says: slowest calls
def speed_up(baseline, other):
    return float(max(baseline) / max(other))


# %% Exercise 3: compares the fastest calls
# says: fastest call
def speed_up(baseline, other):
    return float(min(baseline) / min(other))


# %% Exercise 3: divides the lists
# says: TypeError
def speed_up(baseline, other):
    return baseline / other


# %% Exercise 3: takes the third of five sorted calls, however many there are
# says: depends on its length
def speed_up(baseline, other):
    return float(sorted(baseline)[2] / sorted(other)[2])


# %% Exercise 3: takes the median of the ratios of pairs
# says: these are no pairs
def speed_up(baseline, other):
    return float(np.median([a / b for a, b in zip(baseline, other)]))


# %% Project: lets NaN pass, because it asks whether the error is too large
# says: NaN .* lets it pass
def gate(reference, candidate, tolerance=1e-4):
    refused = []
    for number in range(max(len(reference), len(candidate))):
        expected = reference[number] if number < len(reference) else {}
        found = candidate[number] if number < len(candidate) else {}
        for name in sorted(expected.keys() | found.keys()):
            a, b = expected.get(name), found.get(name)
            if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype or relative_error(b, a) > tolerance:
                refused.append((number, name))
    return refused


# %% Project: stops at the shorter list
# says: last frame is missing
def gate(reference, candidate, tolerance=1e-4):
    refused = []
    for number, (expected, found) in enumerate(zip(reference, candidate)):
        for name in sorted(expected.keys() | found.keys()):
            a, b = expected.get(name), found.get(name)
            alike = a is not None and b is not None and a.shape == b.shape and a.dtype == b.dtype
            if not (alike and np.isfinite(b).all() and relative_error(b, a) <= tolerance):
                refused.append((number, name))
    return refused


# %% Project: subtracts arrays of unlike shapes
# says: shape that NumPy broadcasts
def gate(reference, candidate, tolerance=1e-4):
    refused = []
    for number in range(max(len(reference), len(candidate))):
        expected = reference[number] if number < len(reference) else {}
        found = candidate[number] if number < len(candidate) else {}
        for name in sorted(expected.keys() | found.keys()):
            a, b = expected.get(name), found.get(name)
            alike = a is not None and b is not None and a.dtype == b.dtype
            if not (alike and np.isfinite(b).all() and relative_error(b, a) <= tolerance):
                refused.append((number, name))
    return refused


# %% Project: does not look at the dtype
# says: another dtype
def gate(reference, candidate, tolerance=1e-4):
    refused = []
    for number in range(max(len(reference), len(candidate))):
        expected = reference[number] if number < len(reference) else {}
        found = candidate[number] if number < len(candidate) else {}
        for name in sorted(expected.keys() | found.keys()):
            a, b = expected.get(name), found.get(name)
            alike = a is not None and b is not None and a.shape == b.shape
            if not (alike and np.isfinite(b).all() and relative_error(b, a) <= tolerance):
                refused.append((number, name))
    return refused


# %% Project: knows only the names of the reference
# says: unknown output
def gate(reference, candidate, tolerance=1e-4):
    refused = []
    for number, expected in enumerate(reference):
        found = candidate[number] if number < len(candidate) else {}
        for name in sorted(expected):
            a, b = expected[name], found.get(name)
            alike = b is not None and a.shape == b.shape and a.dtype == b.dtype
            if not (alike and np.isfinite(b).all() and relative_error(b, a) <= tolerance):
                refused.append((number, name))
    return refused


# %% Project: looks up every name of the reference in the candidate
# says: KeyError
def gate(reference, candidate, tolerance=1e-4):
    refused = []
    for number, (expected, found) in enumerate(zip(reference, candidate)):
        for name in sorted(expected):
            if not relative_error(found[name], expected[name]) <= tolerance:
                refused.append((number, name))
    return refused


# %% Project: takes the absolute error
# says: relative, neither absolute
def gate(reference, candidate, tolerance=1e-4):
    refused = []
    for number in range(max(len(reference), len(candidate))):
        expected = reference[number] if number < len(reference) else {}
        found = candidate[number] if number < len(candidate) else {}
        for name in sorted(expected.keys() | found.keys()):
            a, b = expected.get(name), found.get(name)
            alike = a is not None and b is not None and a.shape == b.shape and a.dtype == b.dtype
            if not (alike and np.isfinite(b).all() and np.abs(b - a).max() <= tolerance):
                refused.append((number, name))
    return refused


# %% Project: asks np.allclose, which judges value by value
# says: value by value
def gate(reference, candidate, tolerance=1e-4):
    refused = []
    for number in range(max(len(reference), len(candidate))):
        expected = reference[number] if number < len(reference) else {}
        found = candidate[number] if number < len(candidate) else {}
        for name in sorted(expected.keys() | found.keys()):
            a, b = expected.get(name), found.get(name)
            alike = a is not None and b is not None and a.shape == b.shape and a.dtype == b.dtype
            if not (alike and np.isfinite(b).all() and np.allclose(b, a, rtol=tolerance, atol=tolerance)):
                refused.append((number, name))
    return refused


# %% Project: looks for NaN but not for infinities
# says: infinity
def gate(reference, candidate, tolerance=1e-4):
    refused = []
    for number in range(max(len(reference), len(candidate))):
        expected = reference[number] if number < len(reference) else {}
        found = candidate[number] if number < len(candidate) else {}
        for name in sorted(expected.keys() | found.keys()):
            a, b = expected.get(name), found.get(name)
            alike = a is not None and b is not None and a.shape == b.shape and a.dtype == b.dtype
            if not (alike and not np.isnan(b).any() and not relative_error(b, a) > tolerance):
                refused.append((number, name))
    return refused


# %% Project: has a tolerance of its own
# says: `tolerance` is 0.1
def gate(reference, candidate, tolerance=1e-4):
    refused = []
    for number in range(max(len(reference), len(candidate))):
        expected = reference[number] if number < len(reference) else {}
        found = candidate[number] if number < len(candidate) else {}
        for name in sorted(expected.keys() | found.keys()):
            a, b = expected.get(name), found.get(name)
            alike = a is not None and b is not None and a.shape == b.shape and a.dtype == b.dtype
            if not (alike and np.isfinite(b).all() and relative_error(b, a) <= 1e-4):
                refused.append((number, name))
    return refused


# %% Project: does not look at frames that only the candidate has
# says: one frame too many
def gate(reference, candidate, tolerance=1e-4):
    refused = []
    for number in range(len(reference)):
        expected = reference[number] if number < len(reference) else {}
        found = candidate[number] if number < len(candidate) else {}
        for name in sorted(expected.keys() | found.keys()):
            a, b = expected.get(name), found.get(name)
            alike = a is not None and b is not None and a.shape == b.shape and a.dtype == b.dtype
            if not (alike and np.isfinite(b).all() and relative_error(b, a) <= tolerance):
                refused.append((number, name))
    return refused
