"""Typical wrong answers to the exercises of notebooks/systems/uniad.ipynb (form: ci/lessons/wrong.py)."""


# %% Exercise 1: gives every row that is sure a new identity
# says: only rows with -1 are born
def one_frame_later(ids, scores, missed, newest):
    found, missing = scores >= 0.4, (ids >= 0) & (scores < 0.35)
    after = np.where(found, newest + np.cumsum(found) - 1, ids).astype(ids.dtype)
    counted = (np.where(found, 0, missed) + missing).astype(missed.dtype)
    return np.where(missing & (counted >= 5), -1, after).astype(ids.dtype), counted, int(newest + found.sum())


# %% Exercise 1: lets identities become 64 bits wide
# says: go out so; yours: int32, int64
def one_frame_later(ids, scores, missed, newest):
    found, missing = scores >= 0.4, (ids >= 0) & (scores < 0.35)
    born = found & (ids == -1)
    counted = (np.where(found, 0, missed) + missing).astype(missed.dtype)
    after = np.where(born, newest + np.cumsum(born) - 1, ids)
    return np.where(missing & (counted >= 5), -1, after), counted, int(newest + born.sum())


# %% Exercise 1: a track dies at its first miss
# says: one miss is not the end
def one_frame_later(ids, scores, missed, newest):
    born, missing = (scores >= 0.4) & (ids == -1), (ids >= 0) & (scores < 0.35)
    after = np.where(born, newest + np.cumsum(born) - 1, ids)
    counted = np.where(scores >= 0.4, 0, missed) + missing
    return np.where(missing, -1, after), counted, int(newest + born.sum())


# %% Exercise 1: forgives from 0.35 on
# says: also no miss is forgiven
def one_frame_later(ids, scores, missed, newest):
    born, missing = (scores >= 0.4) & (ids == -1), (ids >= 0) & (scores < 0.35)
    after = np.where(born, newest + np.cumsum(born) - 1, ids)
    counted = np.where(scores >= 0.35, 0, missed) + missing
    return np.where(missing & (counted >= 5), -1, after), counted, int(newest + born.sum())


# %% Exercise 1: all births get the same identity
# says: in the order of rows
def one_frame_later(ids, scores, missed, newest):
    born, missing = (scores >= 0.4) & (ids == -1), (ids >= 0) & (scores < 0.35)
    after = np.where(born, newest, ids)
    counted = np.where(scores >= 0.4, 0, missed) + missing
    return np.where(missing & (counted >= 5), -1, after), counted, int(newest + born.sum())


# %% Exercise 1: forgets to move the next identity on
# says: the next free identity is 9
def one_frame_later(ids, scores, missed, newest):
    born, missing = (scores >= 0.4) & (ids == -1), (ids >= 0) & (scores < 0.35)
    after = np.where(born, newest + np.cumsum(born) - 1, ids)
    counted = np.where(scores >= 0.4, 0, missed) + missing
    return np.where(missing & (counted >= 5), -1, after), counted, newest


# %% Exercise 1: misses rows without a track
# says: nobody waits for it
def one_frame_later(ids, scores, missed, newest):
    born, missing = (scores >= 0.4) & (ids == -1), scores < 0.35
    after = np.where(born, newest + np.cumsum(born) - 1, ids)
    counted = np.where(scores >= 0.4, 0, missed) + missing
    return np.where(missing & (counted >= 5), -1, after), counted, int(newest + born.sum())


# %% Exercise 1: row by row
# accepted
def one_frame_later(ids, scores, missed, newest):
    ids, missed = ids.copy(), missed.copy()
    for row, score in enumerate(scores):
        if score >= 0.4:
            missed[row] = 0
            if ids[row] == -1:
                ids[row], newest = newest, newest + 1
        elif ids[row] >= 0 and score < 0.35:
            missed[row] += 1
            if missed[row] >= 5:
                ids[row] = -1
    return ids, missed, newest


# %% Exercise 2: turned over
# says: turned over
def scales_of(activation, weight, alpha):
    alive = (activation > 0) & (weight > 0)
    x, w = np.where(alive, activation, 1.0), np.where(alive, weight, 1.0)
    return w ** (1 - alpha) / x**alpha


# %% Exercise 2: leaves the weight out
# says: the weight belongs into the formula too
def scales_of(activation, weight, alpha):
    return np.where(activation > 0, activation, 1.0) ** alpha


# %% Exercise 2: divides by zero
# says: no infinity and no NaN
def scales_of(activation, weight, alpha):
    with np.errstate(all="ignore"):
        return activation**alpha / weight ** (1 - alpha)


# %% Exercise 2: the same alpha on both sides
# says: alpha 1 moves everything
def scales_of(activation, weight, alpha):
    alive = (activation > 0) & (weight > 0)
    x, w = np.where(alive, activation, 1.0), np.where(alive, weight, 1.0)
    return (x / w) ** alpha


# %% Exercise 2: only a dead weight is left
# says: stays as it is, 1
def scales_of(activation, weight, alpha):
    return np.where(weight > 0, activation**alpha / np.where(weight > 0, weight, 1.0) ** (1 - alpha), 1.0)


# %% Exercise 2: by logarithms
# accepted
def scales_of(activation, weight, alpha):
    alive = (activation > 0) & (weight > 0)
    x, w = (np.log(np.where(alive, each, 1.0)) for each in (activation, weight))
    return np.exp(alpha * x - (1 - alpha) * w)


# %% Exercise 3: pushes the wrong way
# says: the derivative points toward it
def gradient(point, planned, cells):
    apart = point - cells
    return 2 * (point - planned) + 5 / 2.507 * (np.exp(-(apart**2).sum(1) / 2)[:, None] * apart).sum(0)


# %% Exercise 3: the pull alone
# says: a cell beside the point must push it
def gradient(point, planned, cells):
    return 2 * (point - planned)


# %% Exercise 3: forgets the two
# says: without cells only the pull is left
def gradient(point, planned, cells):
    apart = point - cells
    return point - planned - 5 / 2.507 * (np.exp(-(apart**2).sum(1) / 2)[:, None] * apart).sum(0)


# %% Exercise 3: the mean of the pushes
# says: a sum, no mean
def gradient(point, planned, cells):
    apart = point - cells
    push = np.exp(-(apart**2).sum(1) / 2)[:, None] * apart
    return 2 * (point - planned) - 5 / 2.507 * (push.mean(0) if len(cells) else 0)


# %% Exercise 3: the distance in place of its square
# says: one cell 1 m away gives
def gradient(point, planned, cells):
    apart = point - cells
    push = np.exp(-np.linalg.norm(apart, axis=1))[:, None] * apart
    return 2 * (point - planned) - 5 / 2.507 * push.sum(0)


# %% Project: does not keep the pairs of the frame before
# says: the pair of the frame before goes first
def count(frames, reach):
    total, last = Counter(matches=0, misses=0, false=0, switches=0), {}
    for frame in frames:
        distance = np.linalg.norm(frame["true_xy"][:, None] - frame["xy"][None], axis=-1)
        matched = {}
        for i, j in sorted(map(tuple, np.argwhere(distance <= reach).tolist()), key=lambda pair: distance[pair]):
            if i not in matched and j not in matched.values():
                matched[i] = j
        now = {frame["true_ids"][i]: frame["ids"][j] for i, j in matched.items()}
        total["switches"] += sum(last.get(one, identity) != identity for one, identity in now.items())
        total["matches"] += len(now)
        total["misses"] += len(frame["true_ids"]) - len(now)
        total["false"] += len(frame["ids"]) - len(now)
        last |= now
    return dict(total)


# %% Project: remembers the frame before alone
# says: over a frame in which the object was missed
def count(frames, reach):
    total, before = Counter(matches=0, misses=0, false=0, switches=0), {}
    for frame in frames:
        true, ids = frame["true_ids"], frame["ids"]
        distance = np.linalg.norm(frame["true_xy"][:, None] - frame["xy"][None], axis=-1)
        allowed = [tuple(pair) for pair in np.argwhere(distance <= reach).tolist()]
        kept, matched = [(i, j) for i, j in allowed if before.get(true[i]) == ids[j]], {}
        for i, j in [*kept, *sorted(allowed, key=lambda pair: distance[pair])]:
            if i not in matched and j not in matched.values():
                matched[i] = j
        now = {true[i]: ids[j] for i, j in matched.items()}
        total["switches"] += sum(before.get(one, identity) != identity for one, identity in now.items())
        total["matches"] += len(now)
        total["misses"] += len(true) - len(now)
        total["false"] += len(ids) - len(now)
        before = now
    return dict(total)


# %% Project: keeps pairs of any earlier frame
# says: not those of an earlier one
def count(frames, reach):
    total, last = Counter(matches=0, misses=0, false=0, switches=0), {}
    for frame in frames:
        true, ids = frame["true_ids"], frame["ids"]
        distance = np.linalg.norm(frame["true_xy"][:, None] - frame["xy"][None], axis=-1)
        allowed = [tuple(pair) for pair in np.argwhere(distance <= reach).tolist()]
        kept, matched = [(i, j) for i, j in allowed if last.get(true[i]) == ids[j]], {}
        for i, j in [*kept, *sorted(allowed, key=lambda pair: distance[pair])]:
            if i not in matched and j not in matched.values():
                matched[i] = j
        now = {true[i]: ids[j] for i, j in matched.items()}
        total["switches"] += sum(last.get(one, identity) != identity for one, identity in now.items())
        total["matches"] += len(now)
        total["misses"] += len(true) - len(now)
        total["false"] += len(ids) - len(now)
        last |= now
    return dict(total)


# %% Project: each object takes its nearest track
# says: each track has one object
def count(frames, reach):
    total, last = Counter(matches=0, misses=0, false=0, switches=0), {}
    for frame in frames:
        taken = set()
        for one, place in zip(frame["true_ids"], frame["true_xy"], strict=True):
            far = np.linalg.norm(frame["xy"] - place, axis=-1)
            if not len(far) or far.min() > reach:
                total["misses"] += 1
                continue
            identity = frame["ids"][int(far.argmin())]
            total["matches"] += 1
            total["switches"] += last.get(one, identity) != identity
            last[one] = identity
            taken.add(identity)
        total["false"] += len(set(frame["ids"]) - taken)
    return dict(total)


# %% Project: below reach, not up to it
# says: exactly `reach` away is within reach
def count(frames, reach):
    total, last, before = Counter(matches=0, misses=0, false=0, switches=0), {}, {}
    for frame in frames:
        true, ids = frame["true_ids"], frame["ids"]
        distance = np.linalg.norm(frame["true_xy"][:, None] - frame["xy"][None], axis=-1)
        allowed = [tuple(pair) for pair in np.argwhere(distance < reach).tolist()]
        kept, matched = [(i, j) for i, j in allowed if before.get(true[i]) == ids[j]], {}
        for i, j in [*kept, *sorted(allowed, key=lambda pair: distance[pair])]:
            if i not in matched and j not in matched.values():
                matched[i] = j
        before = {true[i]: ids[j] for i, j in matched.items()}
        total["switches"] += sum(last.get(one, identity) != identity for one, identity in before.items())
        total["matches"] += len(matched)
        total["misses"] += len(true) - len(matched)
        total["false"] += len(ids) - len(matched)
        last |= before
    return dict(total)
