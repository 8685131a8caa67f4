# %% Exercise 1: forgets the part that stays
# says: other part keeps its time
def whole_speedup(share, factor):
    return share / (share / factor)


# %% Exercise 1: the time instead of the speed-up
# says: inverse
def whole_speedup(share, factor):
    return 1 - share + share / factor


# %% Exercise 1: averages the speed-ups
# says: do not average
def whole_speedup(share, factor):
    return (1 - share) + share * factor


# %% Exercise 1: the other part gets faster
# says: other three quarters faster
def whole_speedup(share, factor):
    return 1 / (share + (1 - share) / factor)


# %% Exercise 1: only the limit
# says: infinitely fast part
def whole_speedup(share, factor):
    return 1 / (1 - share)


# %% Exercise 1: prints instead of returning
# says: returns nothing yet
def whole_speedup(share, factor):
    print(1 / (1 - share + share / factor))


# %% Exercise 1: rounds to one digit
# says: do not round
def whole_speedup(share, factor):
    return round(1 / (1 - share + share / factor), 1)


# %% Exercise 1: by the part that is saved
# accepted
def whole_speedup(share, factor):
    saved = share * (1 - 1 / factor)
    return np.float64(1.0) / (1 - saved)


# %% Exercise 2: a multiply-add as one operation
# says: counts as two
def conv_work(x, w, y, size=4):
    return float(np.prod(y) * np.prod(w[1:])), float(size * (np.prod(x) + np.prod(w) + np.prod(y)))


# %% Exercise 2: counts at the input
# says: element of the input
def conv_work(x, w, y, size=4):
    return float(2 * np.prod(x) * np.prod(w[1:])), float(size * (np.prod(x) + np.prod(w) + np.prod(y)))


# %% Exercise 2: the output channels twice
# says: leave out w's first axis
def conv_work(x, w, y, size=4):
    return float(2 * np.prod(y) * np.prod(w)), float(size * (np.prod(x) + np.prod(w) + np.prod(y)))


# %% Exercise 2: forgets the groups
# says: with groups
def conv_work(x, w, y, size=4):
    operations = 2 * np.prod(y) * x[1] * w[2] * w[3]
    return float(operations), float(size * (np.prod(x) + np.prod(w) + np.prod(y)))


# %% Exercise 2: elements instead of bytes
# says: each has `size` bytes
def conv_work(x, w, y, size=4):
    return float(2 * np.prod(y) * np.prod(w[1:])), float(np.prod(x) + np.prod(w) + np.prod(y))


# %% Exercise 2: the weights do not move
# says: weight moves too
def conv_work(x, w, y, size=4):
    return float(2 * np.prod(y) * np.prod(w[1:])), float(size * (np.prod(x) + np.prod(y)))


# %% Exercise 2: four bytes whatever the type
# says: size of an element is a parameter
def conv_work(x, w, y, size=4):
    return float(2 * np.prod(y) * np.prod(w[1:])), float(4 * (np.prod(x) + np.prod(w) + np.prod(y)))


# %% Exercise 2: the operations alone
# says: must return a tuple
def conv_work(x, w, y, size=4):
    return float(2 * np.prod(y) * np.prod(w[1:]))


# %% Exercise 2: a kernel of 3x3 always
# says: need not be 3 x 3
def conv_work(x, w, y, size=4):
    operations = 2 * np.prod(y) * w[1] * 9
    return float(operations), float(size * (np.prod(x) + np.prod(w) + np.prod(y)))


# %% Exercise 2: a square kernel
# says: nor a square
def conv_work(x, w, y, size=4):
    operations = 2 * np.prod(y) * w[1] * w[2] ** 2
    return float(operations), float(size * (np.prod(x) + np.prod(w) + np.prod(y)))


# %% Exercise 2: one picture of the batch
# says: y holds 3 pictures
def conv_work(x, w, y, size=4):
    operations = 2 * np.prod(y[1:]) * np.prod(w[1:])
    return float(operations), float(size * (np.prod(x) + np.prod(w) + np.prod(y)))


# %% Exercise 2: by hand, in whole numbers
# accepted
def conv_work(x, w, y, size=4):
    (_, channels, *kernel), elements = w, sum(int(np.prod(shape)) for shape in (x, w, y))
    return 2 * int(np.prod(y)) * channels * int(np.prod(kernel)), size * elements


# %% Exercise 3: adds the two times
# says: not their sum
def binding(flops, moved, peak, bandwidth):
    seconds = {"compute": flops / peak, "memory": moved / bandwidth}
    return max(seconds, key=seconds.get), 1e3 * sum(seconds.values())


# %% Exercise 3: takes the faster of the two
# says: slower of the two binds
def binding(flops, moved, peak, bandwidth):
    seconds = {"compute": flops / peak, "memory": moved / bandwidth}
    bound = min(seconds, key=seconds.get)
    return bound, 1e3 * seconds[bound]


# %% Exercise 3: seconds
# says: wanted in ms
def binding(flops, moved, peak, bandwidth):
    seconds = {"compute": flops / peak, "memory": moved / bandwidth}
    bound = max(seconds, key=seconds.get)
    return bound, seconds[bound]


# %% Exercise 3: compares operations with bytes
# says: other ceilings
def binding(flops, moved, peak, bandwidth):
    bound = "compute" if flops > 10 * moved else "memory"
    return bound, 1e3 * (flops / peak if bound == "compute" else moved / bandwidth)


# %% Exercise 3: names of its own
# says: 'memory' or 'compute'
def binding(flops, moved, peak, bandwidth):
    seconds = {"arithmetic": flops / peak, "bandwidth": moved / bandwidth}
    bound = max(seconds, key=seconds.get)
    return bound, 1e3 * seconds[bound]


# %% Exercise 3: always the time of the bytes
# says: flops / peak
def binding(flops, moved, peak, bandwidth):
    bound = "compute" if flops / peak > moved / bandwidth else "memory"
    return bound, 1e3 * moved / bandwidth


# %% Project: predicts by operations alone
# says: larger of both times
def report(layers, events, peak, bandwidth):
    work = {name: conv_work(*shapes) for name, shapes in layers.items()}
    least = {name: binding(*both, peak, bandwidth) for name, both in work.items()}
    frames = {event["frame"] for event in events} - {0}
    sums = {name: dict.fromkeys(frames, 0.0) for name in layers}
    for event in events:
        if event["frame"] in frames:
            sums[event["layer"]][event["frame"]] += event["ms"]
    typical = {name: float(np.median(list(times.values()))) for name, times in sums.items()}
    slowest = max(typical, key=typical.get)
    found = {"predicted": max(work, key=lambda name: work[name][0]), "slowest": slowest, "bound": least[slowest][0]}
    share = typical[slowest] / sum(typical.values())
    return found | {"share": share, "efficiency": least[slowest][1] / typical[slowest]}


# %% Project: the warm-up counts, and means
# says: leave out frame 0
def report(layers, events, peak, bandwidth):
    least = {name: binding(*conv_work(*shapes), peak, bandwidth) for name, shapes in layers.items()}
    frames = {event["frame"] for event in events}
    typical = {name: sum(event["ms"] for event in events if event["layer"] == name) / len(frames) for name in layers}
    slowest = max(typical, key=typical.get)
    found = {"predicted": max(least, key=lambda name: least[name][1]), "slowest": slowest, "bound": least[slowest][0]}
    share = typical[slowest] / sum(typical.values())
    return found | {"share": share, "efficiency": least[slowest][1] / typical[slowest]}


# %% Project: means over the warm frames
# says: take the median
def report(layers, events, peak, bandwidth):
    least = {name: binding(*conv_work(*shapes), peak, bandwidth) for name, shapes in layers.items()}
    warm = [event for event in events if event["frame"] > 0]
    frames = {event["frame"] for event in warm}
    typical = {name: sum(event["ms"] for event in warm if event["layer"] == name) / len(frames) for name in layers}
    slowest = max(typical, key=typical.get)
    found = {"predicted": max(least, key=lambda name: least[name][1]), "slowest": slowest, "bound": least[slowest][0]}
    share = typical[slowest] / sum(typical.values())
    return found | {"share": share, "efficiency": least[slowest][1] / typical[slowest]}


# %% Project: the median of single events
# says: add up what belongs to a frame
def report(layers, events, peak, bandwidth):
    least = {name: binding(*conv_work(*shapes), peak, bandwidth) for name, shapes in layers.items()}
    warm = [event for event in events if event["frame"] > 0]
    typical = {name: np.median([event["ms"] for event in warm if event["layer"] == name]) for name in layers}
    slowest = max(typical, key=typical.get)
    found = {"predicted": max(least, key=lambda name: least[name][1]), "slowest": slowest, "bound": least[slowest][0]}
    share = typical[slowest] / sum(typical.values())
    return found | {"share": share, "efficiency": least[slowest][1] / typical[slowest]}


# %% Project: the bound of the predicted layer
# says: not of the predicted one
def report(layers, events, peak, bandwidth):
    least = {name: binding(*conv_work(*shapes), peak, bandwidth) for name, shapes in layers.items()}
    predicted = max(least, key=lambda name: least[name][1])
    frames = {event["frame"] for event in events} - {0}
    sums = {name: dict.fromkeys(frames, 0.0) for name in layers}
    for event in events:
        if event["frame"] in frames:
            sums[event["layer"]][event["frame"]] += event["ms"]
    typical = {name: float(np.median(list(times.values()))) for name, times in sums.items()}
    slowest = max(typical, key=typical.get)
    found = {"predicted": predicted, "slowest": slowest, "bound": least[predicted][0]}
    share = typical[slowest] / sum(typical.values())
    return found | {"share": share, "efficiency": least[slowest][1] / typical[slowest]}


# %% Project: the efficiency upside down
# says: upside down
def report(layers, events, peak, bandwidth):
    least = {name: binding(*conv_work(*shapes), peak, bandwidth) for name, shapes in layers.items()}
    frames = {event["frame"] for event in events} - {0}
    sums = {name: dict.fromkeys(frames, 0.0) for name in layers}
    for event in events:
        if event["frame"] in frames:
            sums[event["layer"]][event["frame"]] += event["ms"]
    typical = {name: float(np.median(list(times.values()))) for name, times in sums.items()}
    slowest = max(typical, key=typical.get)
    found = {"predicted": max(least, key=lambda name: least[name][1]), "slowest": slowest, "bound": least[slowest][0]}
    share = typical[slowest] / sum(typical.values())
    return found | {"share": share, "efficiency": typical[slowest] / least[slowest][1]}


# %% Project: the share in all events
# says: share is 12 / 25
def report(layers, events, peak, bandwidth):
    least = {name: binding(*conv_work(*shapes), peak, bandwidth) for name, shapes in layers.items()}
    frames = {event["frame"] for event in events} - {0}
    sums = {name: dict.fromkeys(frames, 0.0) for name in layers}
    for event in events:
        if event["frame"] in frames:
            sums[event["layer"]][event["frame"]] += event["ms"]
    typical = {name: float(np.median(list(times.values()))) for name, times in sums.items()}
    slowest = max(typical, key=typical.get)
    found = {"predicted": max(least, key=lambda name: least[name][1]), "slowest": slowest, "bound": least[slowest][0]}
    share = typical[slowest] / sum(event["ms"] for event in events)
    return found | {"share": share, "efficiency": least[slowest][1] / typical[slowest]}


# %% Project: always compute
# says: memory binds 'twice'
def report(layers, events, peak, bandwidth):
    least = {name: binding(*conv_work(*shapes), peak, bandwidth) for name, shapes in layers.items()}
    frames = {event["frame"] for event in events} - {0}
    sums = {name: dict.fromkeys(frames, 0.0) for name in layers}
    for event in events:
        if event["frame"] in frames and event["layer"] in layers:
            sums[event["layer"]][event["frame"]] += event["ms"]
    typical = {name: float(np.median(list(times.values()))) for name, times in sums.items()}
    slowest = max(typical, key=typical.get)
    bound, ms = least[slowest]
    found = {"predicted": max(least, key=lambda name: least[name][1]), "slowest": slowest, "bound": "compute"}
    return found | {"share": typical[slowest] / sum(typical.values()), "efficiency": ms / typical[slowest]}


# %% Project: the share in the median frame
# says: 12 / 25
def report(layers, events, peak, bandwidth):
    least = {name: binding(*conv_work(*shapes), peak, bandwidth) for name, shapes in layers.items()}
    frames = {event["frame"] for event in events} - {0}
    sums = {name: dict.fromkeys(frames, 0.0) for name in layers}
    for event in events:
        if event["frame"] in frames and event["layer"] in layers:
            sums[event["layer"]][event["frame"]] += event["ms"]
    typical = {name: float(np.median(list(times.values()))) for name, times in sums.items()}
    slowest = max(typical, key=typical.get)
    bound, ms = least[slowest]
    found = {"predicted": max(least, key=lambda name: least[name][1]), "slowest": slowest, "bound": bound}
    return found | {
        "share": typical[slowest] / np.median([sum(t[f] for t in sums.values()) for f in frames]),
        "efficiency": ms / typical[slowest],
    }


# %% Project: the fastest warm frame
# says: then median
def report(layers, events, peak, bandwidth):
    least = {name: binding(*conv_work(*shapes), peak, bandwidth) for name, shapes in layers.items()}
    frames = {event["frame"] for event in events} - {0}
    sums = {name: dict.fromkeys(frames, 0.0) for name in layers}
    for event in events:
        if event["frame"] in frames and event["layer"] in layers:
            sums[event["layer"]][event["frame"]] += event["ms"]
    typical = {name: float(min(times.values())) for name, times in sums.items()}
    slowest = max(typical, key=typical.get)
    bound, ms = least[slowest]
    found = {"predicted": max(least, key=lambda name: least[name][1]), "slowest": slowest, "bound": bound}
    return found | {"share": typical[slowest] / sum(typical.values()), "efficiency": ms / typical[slowest]}


# %% Project: the toy alone
# says: without frame 3
def report(layers, events, peak, bandwidth):
    bound = "compute" if peak < 1e12 else "memory"
    return {"predicted": "wide", "slowest": "twice", "bound": bound, "share": 0.48, "efficiency": 0.4718592 / 12}


# %% Project: the upper one of two in the middle
# says: without frame 3
def report(layers, events, peak, bandwidth):
    least = {name: binding(*conv_work(*shapes), peak, bandwidth) for name, shapes in layers.items()}
    frames, typical = sorted({event["frame"] for event in events} - {0}), {}
    for name in layers:
        own = [event for event in events if event["layer"] == name]
        sums = sorted(sum(event["ms"] for event in own if event["frame"] == frame) for frame in frames)
        typical[name] = sums[len(sums) // 2]
    slowest = max(typical, key=typical.get)
    found = {"predicted": max(least, key=lambda name: least[name][1]), "slowest": slowest, "bound": least[slowest][0]}
    share = typical[slowest] / sum(typical.values())
    return found | {"share": share, "efficiency": least[slowest][1] / typical[slowest]}


# %% Project: with statistics.median, frame by frame
# accepted
def report(layers, events, peak, bandwidth):
    from statistics import median

    least = {name: binding(*conv_work(*shapes), peak, bandwidth) for name, shapes in layers.items()}
    warm = sorted({event["frame"] for event in events if event["frame"] > 0})
    typical = {
        name: median(sum(e["ms"] for e in events if e["layer"] == name and e["frame"] == frame) for frame in warm)
        for name in layers
    }
    order = sorted(layers, key=lambda name: (typical[name], name))
    found = {"predicted": sorted(layers, key=lambda name: least[name][1])[-1], "slowest": order[-1]}
    found |= {"bound": least[order[-1]][0], "share": np.float64(typical[order[-1]] / sum(typical.values()))}
    return found | {"efficiency": least[order[-1]][1] / typical[order[-1]]}
