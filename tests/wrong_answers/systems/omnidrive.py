"""Typical wrong answers to the exercises of notebooks/systems/omnidrive.ipynb (form: ci/lessons/wrong.py)."""


# %% Exercise 1: takes all numbers of the text
# says: is no part of the path
def path_of(text):
    return np.array(re.findall(r"[+-]?\d+\.\d+", text), np.float64)[:12].reshape(-1, 2)


# %% Exercise 1: takes the pairs that fit, however many
# says: five pairs are no path
def path_of(text):
    found = re.findall(r"\(([+-]?\d+\.\d+), ([+-]?\d+\.\d+)\)", text)
    return np.array(found, np.float64).reshape(-1, 2)


# %% Exercise 1: wants a sign
# says: has no sign, which is allowed
def path_of(text):
    number = r"[+-]\d+\.\d+"
    found = re.search(rf"\[PT(?:, \((?:{number}|0\.0), (?:{number}|0\.0)\)){{6}}\]", text)
    return np.array(re.findall(r"[+-]?\d+\.\d+", found[0]) if found else [], np.float64).reshape(-1, 2)


# %% Exercise 1: loses the sign
# says: keep the sign
def path_of(text):
    number = r"[+-]?\d+\.\d+"
    found = re.search(rf"\[PT(?:, \({number}, {number}\)){{6}}\]", text)
    return np.array(re.findall(r"\d+\.\d+", found[0]) if found else [], np.float64).reshape(-1, 2)


# %% Exercise 1: y comes first
# says: x comes first
def path_of(text):
    number = r"[+-]?\d+\.\d+"
    found = re.search(rf"\[PT(?:, \({number}, {number}\)){{6}}\]", text)
    return np.array(re.findall(number, found[0]) if found else [], np.float64).reshape(-1, 2)[:, ::-1]


# %% Exercise 1: forgets the closing bracket
# says: seven pairs are no path|was cut
def path_of(text):
    number = r"[+-]?\d+\.\d+"
    found = re.search(rf"\[PT(?:, \({number}, {number}\)){{6}}", text)
    return np.array(re.findall(number, found[0]) if found else [], np.float64).reshape(-1, 2)


# %% Exercise 1: keeps six of the pairs that are there
# says: no path|among the pairs|no number
def path_of(text):
    inside = re.search(r"\[PT(.*?)\]", text)
    pairs = re.findall(r"\(([+-]?\d+\.\d+), ([+-]?\d+\.\d+)\)", inside[1] if inside else "")
    return np.array(pairs[:6], np.float64).reshape(-1, 2) if len(pairs) >= 6 else np.zeros((0, 2))


# %% Exercise 1: float32
# says: float64 is asked for
def path_of(text):
    number = r"[+-]?\d+\.\d+"
    found = re.search(rf"\[PT(?:, \({number}, {number}\)){{6}}\]", text)
    return np.array(re.findall(number, found[0]) if found else [], np.float32).reshape(-1, 2)


# %% Exercise 1: None for no path
# says: returns nothing yet
def path_of(text):
    number = r"[+-]?\d+\.\d+"
    found = re.search(rf"\[PT(?:, \({number}, {number}\)){{6}}\]", text)
    return np.array(re.findall(number, found[0]), np.float64).reshape(-1, 2) if found else None


# %% Exercise 1: pairs by pairs, and nothing may be left over
# accepted
def path_of(text):
    inside = re.search(r"\[PT((?:, \([^()]*\))*)\]", text)
    pairs = re.findall(r", \(([^(), ]*), ([^(), ]*)\)", inside[1] if inside else "")
    plain = all(re.fullmatch(r"[+-]?\d+\.\d+", number) for pair in pairs for number in pair)
    whole = inside and "".join(f", ({x}, {y})" for x, y in pairs) == inside[1]
    return np.array(pairs, float) if len(pairs) == 6 and plain and whole else np.zeros((0, 2))


# %% Exercise 2: half as many points
# says: one second is two points
def two_distances(path, driven, seconds):
    distance = np.hypot(*(path - driven).T)
    return float(distance[:seconds].mean()), float(distance[seconds - 1])


# %% Exercise 2: exchanges the two
# says: the mean comes first
def two_distances(path, driven, seconds):
    distance = np.hypot(*(path - driven).T)
    return float(distance[2 * seconds - 1]), float(distance[: 2 * seconds].mean())


# %% Exercise 2: squares
# says: take lengths, not squares
def two_distances(path, driven, seconds):
    distance = ((path - driven) ** 2).sum(1)
    return float(distance[: 2 * seconds].mean()), float(distance[2 * seconds - 1])


# %% Exercise 2: one point too far
# says: at one second the distance is 1 m
def two_distances(path, driven, seconds):
    distance = np.hypot(*(path - driven).T)
    return float(distance[: 2 * seconds].mean()), float(distance[min(2 * seconds, 5)])


# %% Exercise 2: along the road only
# says: have the mean 0.75 m
def two_distances(path, driven, seconds):
    distance = np.abs(path - driven)[:, 0]
    return float(distance[: 2 * seconds].mean()), float(distance[2 * seconds - 1])


# %% Exercise 2: the mean of all six points
# says: have the mean 0.75 m
def two_distances(path, driven, seconds):
    distance = np.hypot(*(path - driven).T)
    return float(distance.mean()), float(distance[2 * seconds - 1])


# %% Exercise 2: one number
# says: must return a tuple or list or numpy.ndarray|must return
def two_distances(path, driven, seconds):
    return float(np.hypot(*(path - driven).T)[: 2 * seconds].mean())


# %% Exercise 2: an array of both
# accepted
def two_distances(path, driven, seconds):
    distance = np.linalg.norm(path - driven, axis=1)[: 2 * seconds]
    return np.array([distance.mean(), distance[-1]])


# %% Exercise 3: exchanges the poses
# says: the poses are exchanged
def moved(points, pose_then, pose_now):
    matrix = np.linalg.inv(pose_then) @ pose_now
    return points @ matrix[:3, :3].T + matrix[:3, 3]


# %% Exercise 3: turns the wrong way
# says: transpose
def moved(points, pose_then, pose_now):
    matrix = np.linalg.inv(pose_now) @ pose_then
    return points @ matrix[:3, :3] + matrix[:3, 3]


# %% Exercise 3: onto the map, and not back
# says: 4 m driven
def moved(points, pose_then, pose_now):
    return points @ pose_then[:3, :3].T + pose_then[:3, 3]


# %% Exercise 3: forgets where the vehicle was
# says: 4 m driven|stood still
def moved(points, pose_then, pose_now):
    matrix = np.linalg.inv(pose_now)
    return points @ matrix[:3, :3].T + matrix[:3, 3]


# %% Exercise 3: drives, and does not turn
# says: turned left by 90
def moved(points, pose_then, pose_now):
    return points + pose_then[:3, 3] - pose_now[:3, 3]


# %% Exercise 3: keeps the ones
# says: one point \[1, 3\]
def moved(points, pose_then, pose_now):
    ones = np.ones((len(points), 1))
    return np.hstack([points, ones]) @ (np.linalg.inv(pose_now) @ pose_then).T


# %% Exercise 3: only the first point
# says: five equal points
def moved(points, pose_then, pose_now):
    return (np.linalg.inv(pose_now) @ pose_then @ [*points[0], 1])[None, :3]


# %% Exercise 3: by way of the map
# accepted
def moved(points, pose_then, pose_now):
    on_map = points @ pose_then[:3, :3].T + pose_then[:3, 3]
    return (on_map - pose_now[:3, 3]) @ pose_now[:3, :3]


# %% Project: never forgets
# says: forget: old rows
def remembered(feeds, outputs, rows):
    pose, time = feeds["ego_pose"][0], feeds["timestamp"][0]
    best = np.argsort(-outputs["all_lane_cls_one2one"][-1, 0, :, 0], kind="stable")[:rows]
    points = outputs["all_lane_preds_one2one"][-1, 0, best].reshape(rows, -1, 3)
    fresh = {
        "embedding": outputs["outs_dec_one2one"][-1, 0, best],
        "reference_point": points @ pose[:3, :3].T + pose[:3, 3],
        "timestamp": np.full((rows, 1), -time),
        "egopose": np.tile(pose, (rows, 1, 1)),
    }
    old = {name: feeds[f"memory_{name}_map_in"][0, : 2 * rows] for name in fresh}
    states = {f"memory_{name}_map_out": np.concatenate([fresh[name], old[name]])[None] for name in fresh}
    return states | {"sample_time_map_out": np.array([-time])}


# %% Project: forgets zeros onto the map's origin
# says: forget: old rows of memory_reference_point
def remembered(feeds, outputs, rows):
    pose, time = feeds["ego_pose"][0], feeds["timestamp"][0]
    best = np.argsort(-outputs["all_lane_cls_one2one"][-1, 0, :, 0], kind="stable")[:rows]
    points = outputs["all_lane_preds_one2one"][-1, 0, best].reshape(rows, -1, 3)
    fresh = {
        "embedding": outputs["outs_dec_one2one"][-1, 0, best],
        "reference_point": points @ pose[:3, :3].T + pose[:3, 3],
        "timestamp": np.full((rows, 1), -time),
        "egopose": np.tile(pose, (rows, 1, 1)),
    }
    old = {name: feeds[f"memory_{name}_map_in"][0, : 2 * rows] for name in fresh}
    if feeds["is_first_frame"][0] == 1 or abs(feeds["sample_time_map_in"][0] + time) >= 2:
        old = {name: np.zeros_like(array) for name, array in old.items()}
    states = {f"memory_{name}_map_out": np.concatenate([fresh[name], old[name]])[None] for name in fresh}
    return states | {"sample_time_map_out": np.array([-time])}


# %% Project: takes the first decoder layer
# says: new rows of memory_embedding
def remembered(feeds, outputs, rows):
    pose, time = feeds["ego_pose"][0], feeds["timestamp"][0]
    best = np.argsort(-outputs["all_lane_cls_one2one"][0, 0, :, 0], kind="stable")[:rows]
    points = outputs["all_lane_preds_one2one"][0, 0, best].reshape(rows, -1, 3)
    fresh = {
        "embedding": outputs["outs_dec_one2one"][0, 0, best],
        "reference_point": points @ pose[:3, :3].T + pose[:3, 3],
        "timestamp": np.full((rows, 1), -time),
        "egopose": np.tile(pose, (rows, 1, 1)),
    }
    old = {name: feeds[f"memory_{name}_map_in"][0, : 2 * rows] for name in fresh}
    if feeds["is_first_frame"][0] == 1 or abs(feeds["sample_time_map_in"][0] + time) >= 2:
        old = {name: np.zeros_like(array) for name, array in old.items()}
        old["reference_point"] = old["reference_point"] + pose[:3, 3]
        old["timestamp"] = old["timestamp"] - time
    states = {f"memory_{name}_map_out": np.concatenate([fresh[name], old[name]])[None] for name in fresh}
    return states | {"sample_time_map_out": np.array([-time])}


# %% Project: worst lanes first
# says: new rows of memory_embedding
def remembered(feeds, outputs, rows):
    pose, time = feeds["ego_pose"][0], feeds["timestamp"][0]
    best = np.argsort(outputs["all_lane_cls_one2one"][-1, 0, :, 0], kind="stable")[:rows]
    points = outputs["all_lane_preds_one2one"][-1, 0, best].reshape(rows, -1, 3)
    fresh = {
        "embedding": outputs["outs_dec_one2one"][-1, 0, best],
        "reference_point": points @ pose[:3, :3].T + pose[:3, 3],
        "timestamp": np.full((rows, 1), -time),
        "egopose": np.tile(pose, (rows, 1, 1)),
    }
    old = {name: feeds[f"memory_{name}_map_in"][0, : 2 * rows] for name in fresh}
    if feeds["is_first_frame"][0] == 1 or abs(feeds["sample_time_map_in"][0] + time) >= 2:
        old = {name: np.zeros_like(array) for name, array in old.items()}
        old["reference_point"] = old["reference_point"] + pose[:3, 3]
        old["timestamp"] = old["timestamp"] - time
    states = {f"memory_{name}_map_out": np.concatenate([fresh[name], old[name]])[None] for name in fresh}
    return states | {"sample_time_map_out": np.array([-time])}


# %% Project: leaves the points in the vehicle's frame
# says: new rows of memory_reference_point
def remembered(feeds, outputs, rows):
    pose, time = feeds["ego_pose"][0], feeds["timestamp"][0]
    best = np.argsort(-outputs["all_lane_cls_one2one"][-1, 0, :, 0], kind="stable")[:rows]
    fresh = {
        "embedding": outputs["outs_dec_one2one"][-1, 0, best],
        "reference_point": outputs["all_lane_preds_one2one"][-1, 0, best].reshape(rows, -1, 3),
        "timestamp": np.full((rows, 1), -time),
        "egopose": np.tile(pose, (rows, 1, 1)),
    }
    old = {name: feeds[f"memory_{name}_map_in"][0, : 2 * rows] for name in fresh}
    if feeds["is_first_frame"][0] == 1 or abs(feeds["sample_time_map_in"][0] + time) >= 2:
        old = {name: np.zeros_like(array) for name, array in old.items()}
        old["reference_point"] = old["reference_point"] + pose[:3, 3]
        old["timestamp"] = old["timestamp"] - time
    states = {f"memory_{name}_map_out": np.concatenate([fresh[name], old[name]])[None] for name in fresh}
    return states | {"sample_time_map_out": np.array([-time])}


# %% Project: keeps the last rows of the old state
# says: keep: old rows
def remembered(feeds, outputs, rows):
    pose, time = feeds["ego_pose"][0], feeds["timestamp"][0]
    best = np.argsort(-outputs["all_lane_cls_one2one"][-1, 0, :, 0], kind="stable")[:rows]
    points = outputs["all_lane_preds_one2one"][-1, 0, best].reshape(rows, -1, 3)
    fresh = {
        "embedding": outputs["outs_dec_one2one"][-1, 0, best],
        "reference_point": points @ pose[:3, :3].T + pose[:3, 3],
        "timestamp": np.full((rows, 1), -time),
        "egopose": np.tile(pose, (rows, 1, 1)),
    }
    old = {name: feeds[f"memory_{name}_map_in"][0, rows:] for name in fresh}
    if feeds["is_first_frame"][0] == 1 or abs(feeds["sample_time_map_in"][0] + time) >= 2:
        old = {name: np.zeros_like(array) for name, array in old.items()}
        old["reference_point"] = old["reference_point"] + pose[:3, 3]
        old["timestamp"] = old["timestamp"] - time
    states = {f"memory_{name}_map_out": np.concatenate([fresh[name], old[name]])[None] for name in fresh}
    return states | {"sample_time_map_out": np.array([-time])}


# %% Project: looks at the gap without its size
# says: a clock set back by 2.5 s: forget: old rows
def remembered(feeds, outputs, rows):
    pose, time = feeds["ego_pose"][0], feeds["timestamp"][0]
    best = np.argsort(-outputs["all_lane_cls_one2one"][-1, 0, :, 0], kind="stable")[:rows]
    points = outputs["all_lane_preds_one2one"][-1, 0, best].reshape(rows, -1, 3)
    fresh = {
        "embedding": outputs["outs_dec_one2one"][-1, 0, best],
        "reference_point": points @ pose[:3, :3].T + pose[:3, 3],
        "timestamp": np.full((rows, 1), -time),
        "egopose": np.tile(pose, (rows, 1, 1)),
    }
    old = {name: feeds[f"memory_{name}_map_in"][0, : 2 * rows] for name in fresh}
    if feeds["is_first_frame"][0] == 1 or feeds["sample_time_map_in"][0] + time >= 2:
        old = {name: np.zeros_like(array) for name, array in old.items()}
        old["reference_point"] = old["reference_point"] + pose[:3, 3]
        old["timestamp"] = old["timestamp"] - time
    states = {f"memory_{name}_map_out": np.concatenate([fresh[name], old[name]])[None] for name in fresh}
    return states | {"sample_time_map_out": np.array([-time])}


# %% Project: old rows before new ones
# says: new rows of memory_embedding
def remembered(feeds, outputs, rows):
    pose, time = feeds["ego_pose"][0], feeds["timestamp"][0]
    best = np.argsort(-outputs["all_lane_cls_one2one"][-1, 0, :, 0], kind="stable")[:rows]
    points = outputs["all_lane_preds_one2one"][-1, 0, best].reshape(rows, -1, 3)
    fresh = {
        "embedding": outputs["outs_dec_one2one"][-1, 0, best],
        "reference_point": points @ pose[:3, :3].T + pose[:3, 3],
        "timestamp": np.full((rows, 1), -time),
        "egopose": np.tile(pose, (rows, 1, 1)),
    }
    old = {name: feeds[f"memory_{name}_map_in"][0, : 2 * rows] for name in fresh}
    if feeds["is_first_frame"][0] == 1 or abs(feeds["sample_time_map_in"][0] + time) >= 2:
        old = {name: np.zeros_like(array) for name, array in old.items()}
        old["reference_point"] = old["reference_point"] + pose[:3, 3]
        old["timestamp"] = old["timestamp"] - time
    states = {f"memory_{name}_map_out": np.concatenate([old[name], fresh[name]])[None] for name in fresh}
    return states | {"sample_time_map_out": np.array([-time])}
