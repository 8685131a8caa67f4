"""Typical wrong answers to the exercises of notebooks/04_modelopt_ptq.ipynb (form: ci/lessons/wrong.py)."""


# %% Exercise 1: forgets the sign
# says: magnitude counts
def scales_of(weight):
    return weight.max(axis=(1, 2, 3)) / 127


# %% Exercise 1: one scale for the tensor
# says: one number for the whole tensor
def scales_of(weight):
    return np.array([np.abs(weight).max() / 127])


# %% Exercise 1: a missing axis
# says: input channels \(axis 1\) belong
def scales_of(weight):
    return np.abs(weight).max(axis=(2, 3)) / 127


# %% Exercise 1: one scale per input channel
# says: output channels are axis 0
def scales_of(weight):
    return np.abs(weight).max(axis=(0, 2, 3)) / 127


# %% Exercise 1: divides by 128
# says: not 128
def scales_of(weight):
    return np.abs(weight).max(axis=(1, 2, 3)) / 128


# %% Exercise 1: divides by 255
# says: 127 steps on either side
def scales_of(weight):
    return np.abs(weight).max(axis=(1, 2, 3)) / 255


# %% Exercise 1: an asymmetric grid
# says: another grid
def scales_of(weight):
    return (weight.max(axis=(1, 2, 3)) - weight.min(axis=(1, 2, 3))) / 255


# %% Exercise 1: keeps the dimensions
# says: expected the shape \[2\]
def scales_of(weight):
    return np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 127


# %% Exercise 1: returns the range
# says: that is the range
def scales_of(weight):
    return np.abs(weight).max(axis=(1, 2, 3))


# %% Exercise 1: returns a list
# says: must return a numpy.ndarray
def scales_of(weight):
    return [np.abs(channel).max() / 127 for channel in weight]


# %% Exercise 1: hard-coded for the toy
# says: in another weight
def scales_of(weight):
    return np.array([0.01, 0.02])


# %% Exercise 1: the first kernel of each filter
# says: in another weight
def scales_of(weight):
    return np.abs(weight[:, 0]).max(axis=(1, 2)) / 127


# %% Exercise 2: takes the widest range
# says: a wide range alone
def worst_layer(weights):
    return max(weights, key=lambda name: np.abs(weights[name]).max())


# %% Exercise 2: takes the smallest error
# says: loses \*most\*
def worst_layer(weights):
    return min(weights, key=lambda name: relative_error(weights[name], np.abs(weights[name]).max() / 127))


# %% Exercise 2: measures the absolute error
# says: relative
def worst_layer(weights):
    def error(values):
        return np.abs(fake_quantize(values, np.abs(values).max() / 127) - values).mean()

    return max(weights, key=lambda name: error(weights[name]))


# %% Exercise 2: returns the error
# says: must return a str
def worst_layer(weights):
    return max(relative_error(w, np.abs(w).max() / 127) for w in weights.values())


# %% Exercise 2: forgets the sign
# says: largest \*magnitude\*
def worst_layer(weights):
    return max(weights, key=lambda name: relative_error(weights[name], weights[name].max() / 127))


# %% Exercise 2: one scale per channel
# says: \*one\* scale per tensor
def worst_layer(weights):
    def scales(w):
        return np.abs(w).max(axis=(1, 2, 3), keepdims=True) / 127

    return max(weights, key=lambda name: relative_error(weights[name], scales(weights[name])))


# %% Exercise 2: returns a list for one layer
# says: must return a str
def worst_layer(weights):
    errors = {name: relative_error(w, np.abs(w).max() / 127) for name, w in weights.items()}
    return sorted(errors, key=errors.get)[-1:]


# %% Exercise 3: runs on over the change of scene
# says: look at step.first
def with_history(run, steps, empty):
    history = empty
    for step in steps:
        complete = {**step.feeds, "prev_bev": history}
        yield complete
        history = run(complete)["bev_embed"]


# %% Exercise 3: never carries it on
# says: never carried on
def with_history(run, steps, empty):
    for step in steps:
        yield {**step.feeds, "prev_bev": empty}


# %% Exercise 3: leaves prev_bev out at the reset
# says: without prev_bev
def with_history(run, steps, empty):
    history = None
    for step in steps:
        complete = dict(step.feeds) if step.first else {**step.feeds, "prev_bev": history}
        yield complete
        history = run({"prev_bev": empty, **complete})["bev_embed"]


# %% Exercise 3: runs without the history
# says: without prev_bev
def with_history(run, steps, empty):
    history = empty
    for step in steps:
        yield {**step.feeds, "prev_bev": empty if step.first else history}
        history = run(step.feeds)["bev_embed"]


# %% Exercise 3: runs on the history alone
# says: prev_bev alone
def with_history(run, steps, empty):
    history = empty
    for step in steps:
        history = empty if step.first else history
        yield {**step.feeds, "prev_bev": history}
        history = run({"prev_bev": history})["bev_embed"]


# %% Exercise 3: yields the history after the frame
# says: first yield, then run
def with_history(run, steps, empty):
    history = empty
    for step in steps:
        complete = {**step.feeds, "prev_bev": empty if step.first else history}
        history = run(complete)["bev_embed"]
        yield {**complete, "prev_bev": history}


# %% Exercise 3: forgets the inputs of the frame
# says: all inputs of each frame
def with_history(run, steps, empty):
    history = empty
    for step in steps:
        yield {"prev_bev": empty if step.first else history}
        history = run({**step.feeds, "prev_bev": empty if step.first else history})["bev_embed"]


# %% Exercise 3: keeps all the outputs as history
# says: take its 'bev_embed'
def with_history(run, steps, empty):
    history = empty
    for step in steps:
        complete = {**step.feeds, "prev_bev": empty if step.first else history}
        yield complete
        history = run(complete)


# %% Exercise 3: changes the step's own inputs
# says: changed step\.feeds
def with_history(run, steps, empty):
    history = empty
    for step in steps:
        step.feeds["prev_bev"] = empty if step.first else history
        yield step.feeds
        history = run(step.feeds)["bev_embed"]


# %% Exercise 3: or in place of a condition
# says: ValueError
def with_history(run, steps, empty):
    history = None
    for step in steps:
        history = None if step.first else history
        complete = {**step.feeds, "prev_bev": history or empty}
        yield complete
        history = run(complete)["bev_embed"]


# %% Exercise 3: zero in place of empty
# says: expected the histories
def with_history(run, steps, empty):
    history = 0
    for step in steps:
        complete = {**step.feeds, "prev_bev": 0 if step.first else history}
        yield complete
        history = run(complete)["bev_embed"]


# %% Exercise 3: a list of all of them, so that all lie in memory
# says: with yield
def with_history(run, steps, empty):
    found, history = [], empty
    for step in steps:
        complete = {**step.feeds, "prev_bev": empty if step.first else history}
        found.append(complete)
        history = run(complete)["bev_embed"]
    return found


# %% Exercise 4: clips nothing
# says: clips nothing
def best_clip(values, candidates):
    return max(candidates)


# %% Exercise 4: counts the rounding alone
# says: cuts many values off
def best_clip(values, candidates):
    return min(candidates, key=lambda clip: clip_error(values, clip)[0])


# %% Exercise 4: takes the absolute error
# says: absolute
def best_clip(values, candidates):
    return min(candidates, key=lambda clip: np.abs(fake_quantize(values, clip / 127) - values).mean())


# %% Exercise 4: returns the error
# says: smallest error
def best_clip(values, candidates):
    return min(float(np.mean((fake_quantize(values, clip / 127) - values) ** 2)) for clip in candidates)


# %% Exercise 4: returns the number of the candidate
# says: number of the candidate
def best_clip(values, candidates):
    return int(np.argmin([np.mean((fake_quantize(values, clip / 127) - values) ** 2) for clip in candidates]))


# %% Exercise 4: takes the clip for the scale
# says: clip / 127
def best_clip(values, candidates):
    return min(candidates, key=lambda clip: np.mean((fake_quantize(values, clip) - values) ** 2))


# %% Exercise 4: counts the clipping alone
# says: clips nothing
def best_clip(values, candidates):
    return min(candidates, key=lambda clip: clip_error(values, clip)[1])


# %% Exercise 4: a scale of clip / 128
# says: clip / 127 is the scale
def best_clip(values, candidates):
    return min(candidates, key=lambda clip: np.mean((fake_quantize(values, clip / 128) - values) ** 2))


# %% Exercise 4: a scale of 2 clip / 255
# says: clip / 127 is the scale
def best_clip(values, candidates):
    return min(candidates, key=lambda clip: np.mean((fake_quantize(values, 2 * clip / 255) - values) ** 2))


# %% Project: keeps everything in FP32
# says: 8 nodes in FP32, but 3 are enough
def mend(pictures, nodes, error_of, bound):
    largest = [np.abs(picture).max() for picture in pictures]
    return [i for i, value in enumerate(largest) if value < 10 * np.median(largest)], list(nodes)


# %% Project: calibrates on all pictures
# says: is no input of the network
def mend(pictures, nodes, error_of, bound):
    good = list(range(len(pictures)))
    alone = {node: error_of(good, [other for other in nodes if other != node]) for node in nodes}
    return good, sorted(nodes, key=alone.get)[-3:]


# %% Project: drops the dark picture too
# says: is a good one, and you left it out
def mend(pictures, nodes, error_of, bound):
    largest = np.array([np.abs(picture).max() for picture in pictures])
    good = [i for i in range(len(pictures)) if 0.5 < largest[i] / np.median(largest) < 2]
    alone = {node: error_of(good, [other for other in nodes if other != node]) for node in nodes}
    return good, sorted(nodes, key=alone.get)[-3:]


# %% Project: drops a single picture
# says: is no input of the network
def mend(pictures, nodes, error_of, bound):
    worst = int(np.argmax([np.abs(picture).max() for picture in pictures]))
    good = [i for i in range(len(pictures)) if i != worst]
    alone = {node: error_of(good, [other for other in nodes if other != node]) for node in nodes}
    return good, sorted(nodes, key=alone.get)[-3:]


# %% Project: keeps one node only
# says: above the bound
def mend(pictures, nodes, error_of, bound):
    largest = [np.abs(picture).max() for picture in pictures]
    good = [i for i, value in enumerate(largest) if value < 10 * np.median(largest)]
    alone = {node: error_of(good, [other for other in nodes if other != node]) for node in nodes}
    return good, [max(nodes, key=alone.get)]


# %% Project: leaves out one node at a time
# says: above the bound
def mend(pictures, nodes, error_of, bound):
    largest = [np.abs(picture).max() for picture in pictures]
    good = [i for i, value in enumerate(largest) if value < 10 * np.median(largest)]
    before = error_of(good, [])
    return good, [node for node in nodes if error_of(good, [node]) < 0.9 * before]


# %% Project: tries all sets of nodes
# says: more than 24 calls
def mend(pictures, nodes, error_of, bound):
    import itertools

    largest = [np.abs(picture).max() for picture in pictures]
    good = [i for i, value in enumerate(largest) if value < 10 * np.median(largest)]
    for count in range(len(nodes) + 1):
        for kept in itertools.combinations(nodes, count):
            if error_of(good, kept) <= bound:
                return good, list(kept)


# %% Project: always three nodes
# says: 3 nodes in FP32, but 2 are enough
def mend(pictures, nodes, error_of, bound):
    largest = [np.abs(picture).max() for picture in pictures]
    good = [i for i, value in enumerate(largest) if value < 10 * np.median(largest)]
    alone = {node: error_of(good, [other for other in nodes if other != node]) for node in nodes}
    return good, sorted(nodes, key=alone.get)[-3:]


# %% Project: keeps what does not mind
# says: nodes in FP32, but|above the bound
def mend(pictures, nodes, error_of, bound):
    largest = [np.abs(picture).max() for picture in pictures]
    good = [i for i, value in enumerate(largest) if value < 10 * np.median(largest)]
    alone = {node: error_of(good, [other for other in nodes if other != node]) for node in nodes}
    ranked, kept = sorted(nodes, key=alone.get), []
    while error_of(good, kept) > bound:
        kept.append(ranked[len(kept)])
    return good, kept


# %% Project: returns the pictures in place of their numbers
# says: cannot use your answer
def mend(pictures, nodes, error_of, bound):
    return [picture for picture in pictures if np.abs(picture).max() < 10], []


# %% Project: returns the nodes alone
# says: must return a tuple|cannot use your answer
def mend(pictures, nodes, error_of, bound):
    return {node: error_of(range(len(pictures)), [node]) for node in nodes}
